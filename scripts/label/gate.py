"""What MONAI Label's endpoints refuse here, before they write or log any of it.

MONAI Label writes every upload to a file that outlives a refusal, and logs its name: an image that is none of the
store's could be a patient's. Its routes look their functions up when they are called, so these are replaced when the
server starts.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from fastapi import HTTPException
from monailabel.endpoints import activelearning, batch_infer, datastore, infer, session, train, wsi_infer
from monailabel.interfaces.exception import MONAILabelException

from fesf.scripts.data.store_format import StoreError
from fesf.scripts.label.labels import FINAL, LabelError
from fesf.scripts.label.parameters import BATCH, PREDICTION, allowed, read
from fesf.scripts.label.surrogates import READ_ONLY, REFUSED, WHOLE, Surrogates

FORBIDDEN, UNKNOWN, UNUSABLE = 403, 404, 422
ANSWERED = {activelearning: ("sample",), datastore: ("datastore",), train: ("run_model",)}
"""Functions that stay, with our errors as answers."""
BY_ID = (
    "download_image",
    "get_image_info",
    "update_image_info",
    "download_label",
    "get_label_info",
    "update_label_info",
    "remove_label",
)
"""Functions of the datastore whose first argument is an image's id, which is asked for first."""
CLOSED = (
    (datastore, "add_image", REFUSED),
    (datastore, "remove_image", READ_ONLY),
    (datastore, "download_dataset", WHOLE),
    (session, "create_session", REFUSED),
    (session, "get_session", REFUSED),
    (session, "remove_session", REFUSED),
    (wsi_infer, "run_wsi_inference", REFUSED),
)
Function = Callable[..., Any]


def answered(function: Function) -> Function:
    """The function, with errors of ours as one sentence in the answer instead of a status 500."""

    @wraps(function)
    def asked(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except StoreError as error:
            raise HTTPException(FORBIDDEN, str(error)) from None
        except MONAILabelException as error:
            raise HTTPException(UNKNOWN, str(error.msg)) from None
        except LabelError as error:
            raise HTTPException(UNUSABLE, str(error)) from None

    return asked


def close(surrogates: Surrogates) -> None:
    """Close the endpoints to everything but surrogates.

    Args:
        surrogates: the store that is served.
    """

    def closed(reason: str) -> Function:
        def asked(*arguments: Any, **options: Any) -> Any:
            raise HTTPException(FORBIDDEN, reason)

        return asked

    def known(function: Function) -> Function:
        def asked(image: str, *arguments: Any, **options: Any) -> Any:
            surrogates.find(image)
            return function(image, *arguments, **options)

        return answered(asked)

    predict_one, predict_many = infer.run_inference, batch_infer.run

    def run_inference(tasks: Any, model: str, image: str = "", session_id: str = "", params: str = "{}",
                      file: Any = None, label: Any = None, output: Any = None) -> Any:  # fmt: skip
        if file or label or session_id:
            raise StoreError(REFUSED)
        surrogates.find(image)
        kept = json.dumps(allowed(read(params), PREDICTION))
        return predict_one(tasks, model, image, "", kept, None, None, output)

    def run(model: str, images: Any = None, params: dict[str, Any] | None = None, run_sync: bool | None = False) -> Any:
        return predict_many(model, images, allowed(params or {}, BATCH) | {"multi_gpu": False}, run_sync)

    def save_label(tasks: Any, image: str, params: str, tag: str, label: Any, user: str | None = None) -> Any:
        surrogates.find(image)
        if tag != FINAL:
            raise LabelError(f"Labels have the tag {FINAL!r} here, and no other.")
        surrogates.save_label(image, label.file.read())
        return {"image": image, "label": image}

    infer.run_inference, batch_infer.run = answered(run_inference), answered(run)
    datastore.save_label = answered(save_label)
    for name in BY_ID:
        setattr(datastore, name, known(getattr(datastore, name)))
    for module, names in ANSWERED.items():
        for name in names:
            setattr(module, name, answered(getattr(module, name)))
    for module, name, reason in CLOSED:
        setattr(module, name, closed(reason))
