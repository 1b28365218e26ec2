"""A recipe refuses every bad value by name, and documents what was chosen."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from fesf.scripts.data.recipe import Recipe


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"release_id": "../x"}, r"release_id='../x'"),
        ({"release_id": ""}, "release_id=''"),
        ({"alpha": 0.7}, "alpha must be a number in .*got 0.7"),
        ({"alpha": float("nan")}, "alpha must be .*got nan"),
        ({"beta": "half"}, "beta must be .*got 'half'"),
        ({"image_size": 64}, "image_size=64: give a list"),
        ({"image_size": [64, 4]}, r"image_size=\[64, 4\]: give two or three whole lengths"),
        ({"image_size": [64.0, 64]}, r"image_size=\[64.0, 64\]"),
        ({"intensity_range": [5, 5]}, r"intensity_range=\[5, 5\]"),
        ({"intensity_range": ["a", "b"]}, "intensity_range=.*give the lowest and the highest"),
        ({"intensity_range": "windows"}, "intensity_range='windows'.*'window', {'percentiles'"),
        ({"intensity_range": {"percentiles": [5, 101]}}, r"percentiles lie in \[0, 100\]"),
        ({"intensity_range": {"percentile": [5, 95]}}, "intensity_range=.*give the lowest"),
        ({"pixel_spacing": [1.0]}, r"pixel_spacing=\[1.0\]: give 2 positive lengths in mm"),
        ({"output": "tiff"}, "output='tiff': choose png or nifti or dicom"),
        ({"output": "png", "image_size": [8, 8, 8]}, r"output='png' takes two lengths of image_size: write volumes as"),
        ({"bit_depth": 12}, "bit_depth=12: choose 8 or 16"),
        ({"on_bad_row": "skip"}, "on_bad_row='skip': choose stop or quarantine"),
        ({"hold_out_labels": "yes"}, "hold_out_labels='yes': choose true or false"),
        ({"seed": -1}, "seed=-1"),
        ({"fractions": [0.5, 0.5]}, "fractions=.*three positive shares"),
        ({"fractions": [0.8, 0.3, -0.1]}, "fractions=.*three positive shares"),
        ({"stage": "surogate"}, "stage='surogate': choose synthetic, enhanced, surrogate"),
        ({"stage": "surrogate"}, r"stage='surrogate' needs a generator: train one with enhance\.json, or choose"),
        ({"stage": "enhanced"}, "stage='enhanced' needs a generator"),
        (
            {"second_alpha": 0.2},
            "second_alpha=0.2 describes a second pass, which stage 'synthetic' does not make: leave",
        ),
        ({"second_beta": 0.0}, "second_beta=0.0 describes a second pass, which stage 'synthetic' does not make"),
        (
            {"generator_sha256": "ab", "stage": "enhanced", "second_beta": 0.5},
            "second_beta=0.5 .* which stage 'enhanced' does not make: leave it null, or choose stage 'surrogate'",
        ),
        ({"generator_sha256": "ab", "second_alpha": 0.6}, "alpha must be a number in .*got 0.6"),
        ({"generator_sha256": "ab", "second_beta": -1}, "beta must be .*got -1"),
    ],
)
def test_bad_values_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recipe(**{"release_id": "r1", **values})


def test_document_holds_the_choices_and_no_secret() -> None:
    recipe = Recipe("r1", alpha=0, beta=1, image_size=[8, 9, 10], intensity_range=[0, 4095], disclose_patients="true")
    document = recipe.document("ab" * 32, "own", {"images": 3})
    assert document["alpha"] == 0.0
    assert document["encoding"] == {"type": "nifti", "bits": 8}
    assert document["intensity_rule"]["scale"] == [0.0, 4095.0]
    assert document["disclose_patients"] is True
    assert (document["stage"], document["generator_sha256"], document["images"]) == ("synthetic", None, 3)
    assert document["software"]["monai"] == "1.6.1"
    assert Recipe("r1").document("", "demo", {})["intensity_rule"]["scale"] == "dtype maximum"
    window = Recipe("r1", intensity_range="window", pixel_spacing=[1, 0.5]).document("", "demo", {})
    assert (window["intensity_rule"]["scale"], window["pixel_spacing"]) == ("window", (1.0, 0.5))
    assert window["mask_text"] is False
    assert "rapidocr-onnxruntime" not in window["software"]
    masked = Recipe("r1", mask_text="true").document("", "demo", {})
    assert masked["mask_text"] is True
    assert "rapidocr-onnxruntime" in masked["software"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, ("synthetic", None, None, None)),
        ({"generator_sha256": "ab"}, ("surrogate", 0.2, 0.6, "ab")),
        ({"generator_sha256": "ab", "second_alpha": 0, "second_beta": 1}, ("surrogate", 0.0, 1.0, "ab")),
        ({"generator_sha256": "ab", "second_beta": 0.0}, ("surrogate", 0.2, 0.0, "ab")),
        ({"generator_sha256": "ab", "stage": "enhanced"}, ("enhanced", None, None, "ab")),
        ({"generator_sha256": "ab", "stage": "synthetic"}, ("synthetic", None, None, None)),  # it was not used
    ],
)
def test_stages_have_what_belongs_to_them(values: dict[str, Any], expected: tuple[Any, ...]) -> None:
    document = Recipe("r1", alpha=0.2, beta=0.6, **values).document("", "own", {})
    assert tuple(document[name] for name in ("stage", "second_alpha", "second_beta", "generator_sha256")) == expected
    assert (document["alpha"], document["beta"]) == (0.2, 0.6)


def test_document_names_every_choice() -> None:
    document = Recipe("r1").document("", "own", {})
    chosen = {field.name for field in dataclasses.fields(Recipe)} - {"intensity_range", "output"}  # encoding says it
    assert chosen <= set(document)
    assert set(document) - chosen == {"intensity_rule", "encoding", "host_sha256", "secret", "software"}
