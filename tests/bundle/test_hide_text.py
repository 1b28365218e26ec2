"""hide.json with mask_text: what was written in the images is gone before they are hidden."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from importlib import util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fesf.scripts.data.text_overlay import Overlay, burn_in
from fesf.transforms.text import MaskText, TextDetector
from tests.bundle.test_hide import contents, hide, refused
from tests.conftest import write_png

pytestmark = pytest.mark.skipif(util.find_spec("rapidocr_onnxruntime") is None, reason="needs the extra text")


def enlarge(folder: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Make the cohort's images 192 pixels wide and change them."""
    for row in csv.DictReader((folder / "cohort.csv").read_text().splitlines()):
        path = folder / row["image"]
        image = np.asarray(Image.open(path).resize((192, 192), Image.Resampling.BICUBIC), dtype=np.float32) / 255
        write_png(path, change(0.6 * image))


def test_a_store_of_masked_images(make_cohort: Callable[..., Path]) -> None:
    def write(image: np.ndarray) -> np.ndarray:
        return burn_in(image, Overlay("KELLER, LENA", "sans", 20, 10, 12))

    def clean(image: np.ndarray) -> np.ndarray:
        stored = np.rint(write(image) * 255).astype(np.float32) / 255
        return MaskText(TextDetector())(stored.T[None])[0].numpy().T

    stores = []
    for name, change, mask in (("written", write, True), ("clean", clean, False), ("bare", write, False)):
        folder = make_cohort(4, name)
        enlarge(folder, change)
        stores.append(contents(hide(folder, mask_text=mask, num_workers=int(mask)) / "images"))
        release = json.loads((folder / "hospital" / "release.json").read_text())
        assert release["mask_text"] is mask
    assert len(stores[0]) == 8
    assert stores[0] == stores[1] != stores[2]


def test_a_missing_extra_is_said_before_anything_is_read(
    make_cohort: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fesf.transforms.text.find_spec", lambda _: None)
    assert "pip install 'fesf[text]'" in refused(make_cohort(4), mask_text=True)
