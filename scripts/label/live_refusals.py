"""What a running server must refuse: all that is none of the store's, and labels that cannot count."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

from fesf.scripts.data.store_format import image_id, load_dataset
from fesf.scripts.label.client import Answer
from fesf.scripts.label.labels import FINAL
from fesf.scripts.label.packing import MODEL
from fesf.scripts.label.surrogates import REFUSED

if TYPE_CHECKING:
    from fesf.scripts.label.live_check import LabelCheck

NAME = "Schmidt_Anna_1961"
"""Stands in the names of files that are sent and must be refused; no log and no file may hold it."""
INFER, LABEL = f"/infer/{MODEL}", "/datastore/label"


def refusals(check: LabelCheck) -> None:
    """Send what must be refused, and note whether status and sentence are the right ones.

    Args:
        check: with a running server; an image of its store is altered for a moment.
    """
    _images(check)
    _altered(check)
    _labels(check)


def _expect(check: LabelCheck, sentence: str, status: int, answers: dict[str, Answer]) -> None:
    for name, answer in answers.items():
        check.checks[f"refused: {name}"] = answer.status == status and sentence in answer.detail


def _images(check: LabelCheck) -> None:
    send, some = check.send, min(check.truth)
    folder = str(check.hospital / "demo" / "images")
    plain = os.path.join(folder, min(os.listdir(folder)))
    upload = ("file", f"{NAME}.png", check.plain)
    params = {"params": json.dumps({"image": plain})}
    answers = {
        "another id": send("POST", INFER, image="0" * 32),
        "a path": send("POST", INFER, image=plain),
        "a path in params": send("POST", INFER, image=NAME, form=params),
        "an upload to infer": send("POST", INFER, file=upload),
        "an upload beside an id": send("POST", INFER, image=some, file=upload),
        "an upload to the datastore": send("PUT", "/datastore/image", image=NAME, file=upload),
        "an upload as a session": send("PUT", "/session/", file=("files", *upload[1:])),
        "an upload as a slide": send("POST", f"/infer/wsi_v2/{MODEL}", file=upload),
        "a label for another image": send("PUT", LABEL, image=NAME, file=("label", f"{NAME}.txt", b"opacity")),
    }
    _expect(check, REFUSED, 403, answers)
    replaced = send("POST", INFER, image=some, output="json", form=params)
    scores = [item["score"] for item in replaced.json["prediction"]] if replaced.status == 200 else []
    check.checks["params never replace the image"] = scores == check.scores(some)[0]
    _expect(check, "read-only", 403, {"removing an image": send("DELETE", "/datastore/image", id=some)})
    _expect(check, "no model", 404, {"another model": send("POST", "/infer/other", image=some)})


def _altered(check: LabelCheck) -> None:
    some = min(check.truth)
    name = f"images/{some}.png"
    shutil.copy2(check.store / name, check.work / "kept.png")
    (check.store / name).write_bytes(check.plain)
    sentence = f"'{name}' differs from its digest in the manifest: it was changed after publication."
    answers = {
        "an altered image": check.send("POST", INFER, image=some),
        "an altered image's bytes": check.send("GET", "/datastore/image", image=some),
    }
    _expect(check, sentence, 403, answers)
    shutil.copy2(check.work / "kept.png", check.store / name)


def _labels(check: LabelCheck) -> None:
    dataset, waiting = load_dataset(check.store), check.unlabelled()[-1]

    def first(section: str, labelled: bool) -> str:
        return next(image_id(item["image"]) for item in dataset[section] if ("label" in item) is labelled)

    def put(image: str, content: bytes, tag: str = FINAL) -> Answer:
        return check.send("PUT", LABEL, image=image, tag=tag, file=("label", f"{NAME}.txt", content))

    _expect(check, "names none of the store's classes", 422, {"a label that is no class": put(waiting, NAME.encode())})
    contrary = {"a label against the store's": put(first("training", True), b"opacity")}
    _expect(check, "The store itself labels", 422, contrary)
    _expect(check, "of the test section", 422, {"a label of the test section": put(first("test", False), b"opacity")})
    _expect(check, "the tag 'final'", 422, {"a tag that is a path": put(waiting, b"opacity", tag="../../x")})
