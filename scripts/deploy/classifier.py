"""The classifier of an unpacked bundle, run on surrogates from DICOM files as ``inference.json`` runs it on a store.

``inference.json`` is read by MONAI's ConfigParser and its own evaluator runs: network, inferer, pre- and
postprocessing, operating point. Two ids are replaced: what loads an image, and the data set.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from monai.data import Dataset

from fesf.scripts.data.files import file_sha256
from fesf.scripts.deploy.surrogates import LoadImageSurrogate, read_surrogate
from fesf.scripts.engines.errors import first_cause
from fesf.scripts.engines.operating_point import OperatingPoint
from fesf.scripts.engines.predictions import Predictions

CONFIG, METADATA, WEIGHTS = "configs/inference.json", "configs/metadata.json", "models/model.pt"
UNREADABLE = "A config of the bundle cannot be read"


@dataclass(frozen=True)
class Classified:
    """What a bundle says of surrogates.

    Args:
        predictions: ids and probabilities, sorted by id.
        point: how the model decides.
        class_names: names of the classes, in the order of the probabilities.
        model_sha256: digest of ``models/model.pt``.
        model_version: "version" of the bundle's metadata.
    """

    predictions: Predictions
    point: OperatingPoint
    class_names: list[str]
    model_sha256: str
    model_version: str

    def table(self) -> bytes:
        """``predictions.csv``, as inference.json writes it."""
        return Predictions(self.predictions.ids, self.predictions.probabilities, None, None).table(
            self.point, self.class_names
        )


def check_bundle(folder: str | Path) -> Path:
    """The folder of a bundle, once it has the files that are needed.

    Raises:
        ValueError: when it is none.
    """
    folder = Path(folder).absolute()
    missing = [name for name in (CONFIG, METADATA, WEIGHTS) if not (folder / name).is_file()]
    if missing:
        raise ValueError(
            f"The model's folder has no {missing[0]}: give the folder of an unpacked bundle, with a trained model."
        )
    return folder


def described(folder: str | Path) -> tuple[str, list[int]]:
    """A bundle's version, and the size of the images that its model takes.

    Raises:
        ValueError: when its metadata do not say.
    """
    try:
        metadata = json.loads((Path(folder) / METADATA).read_text(encoding="utf-8"))
        size = [int(length) for length in metadata["network_data_format"]["inputs"]["image"]["spatial_shape"]]
        return str(metadata["version"]), size
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ValueError(f"{UNREADABLE} ({type(error).__name__}): unpack it again.") from None


def classify(folder: str | Path, items: Sequence[Mapping[str, Any]]) -> Classified:
    """Run a bundle's ``evaluator`` on surrogates.

    Args:
        folder: unpacked bundle. Its configs hold expressions that are run: take bundles from people you trust.
        items: of :func:`fesf.scripts.deploy.surrogates.find_surrogates`.

    Raises:
        ValueError: when the folder is no bundle with a model, or its parts do not fit each other.
    """
    folder = check_bundle(folder)
    version, size = described(folder)
    parser = ConfigParser()
    try:
        parser.read_config(folder / CONFIG)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{UNREADABLE} ({type(error).__name__}): unpack it again.") from None
    found = list(read_surrogate(items[0]["image"])[1].shape[1:])
    if found != size:
        raise ValueError(f"The surrogates have the size {found}, the bundle's model takes {size}: hide at that size.")
    parser["bundle_root"] = str(folder)
    parser["image"] = "from DICOM files"  # not from a store, so that the model names the classes
    parser["load"] = LoadImageSurrogate()
    parser["handlers"] = ["%checkpoint_loader", "@predictions"]
    try:
        parser["dataset"] = Dataset(items, parser.get_parsed_content("preprocessing"))
        parser.get_parsed_content("initialize")
        parser.get_parsed_content("evaluator").run()
        return Classified(
            parser.get_parsed_content("predictions").gather(),
            parser.get_parsed_content("operating_point"),
            parser.get_parsed_content("class_names"),
            file_sha256(folder / WEIGHTS) or "",
            version,
        )
    except Exception as error:
        raise first_cause(error) or error from None
