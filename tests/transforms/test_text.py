"""Masking of text: boxes by hand, and the shipped detector on text that the test writes."""

from __future__ import annotations

import pickle
from importlib import util

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from fesf.scripts.data.text_overlay import Overlay, burn_in, coverage
from fesf.transforms import text as module
from fesf.transforms.text import MaskText, MaskTextd, TextDetector, cover, picture, widen
from tests.conftest import smooth


def boxes(*rows: tuple[int, int, int, int]) -> np.ndarray:
    return np.array(rows, dtype=np.int64).reshape(-1, 4)


def test_boxes_grow_by_their_shorter_side_and_stay_inside() -> None:
    given = boxes((10, 20, 50, 32), (0, 0, 4, 40), (95, 55, 100, 60))
    assert widen(given, 0.25, (60, 100)).tolist() == [[7, 17, 53, 35], [0, 0, 6, 42], [93, 53, 100, 60]]
    assert widen(given, 0.0, (60, 100)).tolist() == given.tolist()
    assert widen(boxes(), 0.25, (60, 100)).shape == (0, 4)


def test_boxes_are_covered_and_nothing_else() -> None:
    image = torch.rand(1, 30, 20) + 0.5
    covered = cover(image, boxes((2, 3, 10, 5), (20, 15, 30, 20)), 0.25)
    expected = image.clone()
    expected[0, 2:10, 3:5] = expected[0, 20:30, 15:20] = 0.25
    assert torch.equal(covered, expected)
    assert image.min() >= 0.5


def test_the_detector_sees_an_upright_stretched_picture() -> None:
    seen = []

    def detector(given: np.ndarray) -> np.ndarray:
        seen.append(given)
        return boxes((8, 2, 14, 6))

    image = MetaTensor(
        torch.linspace(0.2, 0.4, 600).reshape(1, 30, 20), affine=torch.diag(torch.tensor([2.0, 3, 1, 1]))
    )
    image.meta["filename_or_obj"] = "SCHMIDT.dcm"
    out = MaskText(detector, margin=0, value=1.0)(image)
    assert seen[0].shape == (20, 30)
    assert (seen[0].dtype, seen[0].min(), seen[0].max()) == (np.uint8, 0, 255)
    assert seen[0][0, -1] > seen[0][-1, 0]  # x is the slow axis
    assert isinstance(out, MetaTensor)
    assert torch.equal(out.affine, image.affine)
    assert "filename_or_obj" not in out.meta
    expected = image.as_tensor().clone()
    expected[0, 8:14, 2:6] = 1.0
    assert torch.equal(out.as_tensor(), expected)
    assert picture(torch.full((3, 2), 0.7)).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_volumes_slice_by_slice_and_dictionaries() -> None:
    def detector(given: np.ndarray) -> np.ndarray:
        return boxes((0, 0, 3, 3)) if given[5, 5] == 255 else boxes()

    volume = np.full((1, 8, 8, 3), 0.5, dtype=np.float32)
    volume[0, 5, 5, 1] = 0.75
    out = MaskTextd("image", detector, margin=0)({"image": volume, "label": 1})
    assert out["label"] == 1
    changed = np.argwhere(np.asarray(out["image"]) != volume)
    assert set(map(tuple, changed)) == {(0, x, y, 1) for x in range(3) for y in range(3)}
    assert torch.equal(MaskText(detector, margin=0)(volume), out["image"])


@pytest.mark.parametrize(
    ("margin", "value"), [(-0.1, 0.0), (float("nan"), 0.0), (float("inf"), 0), (0.1, float("nan"))]
)
def test_bad_arguments(margin: float, value: float) -> None:
    with pytest.raises(ValueError, match="give a margin of 0 or more and a finite value"):
        MaskText(lambda _: boxes(), margin, value)


def test_text_may_be_looked_for_in_another_image() -> None:
    def bright(given: np.ndarray) -> np.ndarray:
        return boxes((1, 2, 4, 6)) if given[2, 1] == 255 else boxes()

    image, before = torch.full((1, 8, 8), 0.5), torch.full((1, 8, 8), 0.5)
    before[0, 1, 2] = 1.0
    out = MaskText(bright, margin=0)(image, before)
    assert (out == 0).sum() == 12
    assert torch.equal(MaskText(bright, margin=0)(image), image)
    with pytest.raises(ValueError, match="expected"):
        MaskText(bright)(image, before[:, :4])


def test_bad_shapes() -> None:
    for shape in ((3, 8, 8), (8, 8)):
        with pytest.raises(ValueError, match=r"expected \(1, x, y\) or \(1, x, y, z\)"):
            MaskText(lambda _: boxes())(torch.zeros(shape))


def test_the_missing_extra_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(
        ValueError, match=r"^mask_text needs the package rapidocr-onnxruntime: pip install 'fesf\[text\]'.$"
    ):
        TextDetector()


needs_detector = pytest.mark.skipif(util.find_spec("rapidocr_onnxruntime") is None, reason="needs the extra text")


@needs_detector
def test_names_are_found_and_covered_and_nothing_else() -> None:
    image = smooth(3, (240, 320)).astype(np.float32) * 0.6
    overlays = [Overlay("KELLER, LENA", "sans", 18, 20, 30), Overlay("ПЕТРОВ, ИВАН", "serif", 22, 90, 180, 0.95)]
    written = image
    for overlay in overlays:
        written = burn_in(written, overlay)
    detector = TextDetector(shortest=480)
    mask = MaskText(detector)
    out = mask(written.T[None])[0].numpy().T
    for overlay in overlays:
        ink = coverage(overlay, (240, 320)) > 0
        assert out[ink].max() == 0.0
    assert (out != written).mean() < 0.15
    assert len(mask.boxes(image.T[None])) == 0
    again = pickle.loads(pickle.dumps(mask))  # as a loader's worker gets it
    assert again.detector._loaded is None
    assert again.boxes(written.T[None]).tolist() == mask.boxes(written.T[None]).tolist()


@needs_detector
def test_what_is_too_high_for_a_line_is_left() -> None:
    image = np.full((240, 320), 0.1, dtype=np.float32)
    detector = TextDetector(shortest=480)
    small, large = (burn_in(image, Overlay("AB", "sans", size, 40, 20)) for size in (30, 120))
    assert len(detector(picture(small.T))) == 1
    assert len(detector(picture(large.T))) == 0


@needs_detector
def test_any_size_of_picture() -> None:
    detector = TextDetector(shortest=64, longest=128)
    for shape in ((1, 1), (3, 500), (300, 200)):
        assert detector(np.zeros(shape, dtype=np.uint8)).shape == (0, 4)
