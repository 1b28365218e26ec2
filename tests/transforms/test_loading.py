"""Reading: every dtype and mode against numbers worked out by hand or by Pillow."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import LoadImage
from PIL import Image

from fesf.transforms import ToUnitGrey, ToUnitGreyD, ToUnitGreyd, ToUnitGreyDict, load_image, to_unit_grey
from fesf.transforms.array import read_host

RAMP = np.arange(12).reshape(3, 4)  # 3 rows, 4 columns


@pytest.mark.parametrize(
    ("dtype", "maximum"),
    [
        (np.uint8, 255),
        (np.uint16, 65535),
        (np.uint32, 2**32 - 1),
        (np.int16, 32767),
        (np.int32, 2**31 - 1),
        (np.int64, 2**63 - 1),
        (">u2", 65535),
    ],
)
def test_integers_are_divided_by_their_maximum(dtype, maximum):
    grey = to_unit_grey(RAMP[None].astype(dtype))
    assert grey.dtype == torch.float32
    np.testing.assert_allclose(grey.numpy(), (RAMP[None] / maximum).astype(np.float32), rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.int16])
def test_tensors_as_arrays(dtype):
    expected = RAMP[None] / torch.iinfo(dtype).max
    np.testing.assert_allclose(to_unit_grey(torch.from_numpy(RAMP[None]).to(dtype)).numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, bool])
def test_floats_and_booleans_stay(dtype):
    image = (RAMP[None] / 16).astype(dtype)
    grey = to_unit_grey(image)
    assert grey.dtype == (torch.float64 if dtype is np.float64 else torch.float32)
    assert np.array_equal(grey.numpy(), image.astype(np.float64))


def test_channels_by_the_stated_rule():
    image = np.stack([np.full((2, 3), v, dtype=np.uint8) for v in (255, 51, 102, 7)])
    luma = 0.299 + 0.587 * 0.2 + 0.114 * 0.4
    for channels, expected in ((1, 1.0), (2, 1.0), (3, luma), (4, luma)):
        grey = to_unit_grey(image[:channels])
        assert grey.shape == (1, 2, 3)
        np.testing.assert_allclose(grey.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("shape", [(3, 4), (5, 3, 4), (0, 3, 4)])
def test_refuses_other_channels(shape):
    with pytest.raises(ValueError, match=rf"1 to 4 channels, got shape \({shape[0]}, .*move the channels first"):
        to_unit_grey(np.zeros(shape, dtype=np.uint8))


def test_refuses_what_is_not_a_number():
    with pytest.raises(ValueError, match="floats, got dtype <U1"):
        to_unit_grey(np.full((1, 2, 2), "a"))
    with pytest.raises(ValueError, match=r"got dtype torch\.complex128: take one real part"):
        to_unit_grey(np.zeros((1, 2, 2), dtype=complex))


def pictures() -> dict[str, Image.Image]:
    grey8 = Image.fromarray((RAMP * 20).astype(np.uint8))
    colour = Image.fromarray(np.stack([RAMP * 20, RAMP * 10, 255 - RAMP * 20], axis=-1).astype(np.uint8))
    return {
        "L": grey8,
        "I;16": Image.fromarray((RAMP * 5000).astype(np.uint16)),
        "1": Image.fromarray(RAMP % 2 == 0),
        "LA": grey8.convert("LA"),
        "RGB": colour,
        "RGBA": colour.convert("RGBA"),
        "P": colour.quantize(12),
    }


@pytest.mark.parametrize("mode", pictures())
def test_png_of_every_mode(tmp_path, mode):
    picture = pictures()[mode]
    assert picture.mode == mode
    picture.save(tmp_path / "a.png")
    if mode in ("RGB", "RGBA", "P"):
        expected = np.asarray(picture.convert("RGB")) @ np.array([0.299, 0.587, 0.114]) / 255
    else:
        band = picture.getchannel("L") if mode == "LA" else picture
        expected = np.asarray(band) / {"I;16": 65535, "1": 1}.get(mode, 255)
    image = load_image(tmp_path / "a.png")
    assert image.shape == (1, 4, 3)  # x first, as LoadImage gives it
    assert image.dtype == torch.float32
    np.testing.assert_allclose(image.numpy()[0].T, expected, atol=1e-6)


def test_transparent_palette_and_cmyk_become_colour(tmp_path):
    pictures()["P"].save(tmp_path / "p.png", transparency=0)
    pictures()["RGB"].convert("CMYK").save(tmp_path / "c.jpg", quality=100)
    grey = np.asarray(pictures()["RGB"].convert("RGB")) @ np.array([0.299, 0.587, 0.114]) / 255
    np.testing.assert_allclose(load_image(tmp_path / "p.png").numpy()[0].T, grey, atol=0.02)
    np.testing.assert_allclose(load_image(tmp_path / "c.jpg").numpy()[0].T, grey, atol=0.08)


def test_axis_order_is_that_of_load_image(tmp_path):
    pictures()["L"].save(tmp_path / "a.png")
    expected = LoadImage(ensure_channel_first=True)(tmp_path / "a.png").as_tensor() / 255
    torch.testing.assert_close(load_image(tmp_path / "a.png").as_tensor(), expected)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_nifti_keeps_the_affine_alone(tmp_path, dtype):
    volume = np.arange(24).reshape(2, 3, 4).astype(dtype)
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    nib.save(nib.Nifti1Image(volume, affine), tmp_path / "schmidt.nii.gz")
    image = load_image(str(tmp_path / "schmidt.nii.gz"))
    scale = 32767 if dtype is np.int16 else 1
    assert isinstance(image, MetaTensor)
    np.testing.assert_allclose(image.numpy(), volume[None] / scale, rtol=1e-6)
    np.testing.assert_array_equal(image.affine.numpy(), affine)
    assert "schmidt" not in str(image.meta) + str(image.applied_operations)
    assert set(map(str, image.meta)) == {"affine", "space"}


def test_raw_intensities_on_demand(tmp_path):
    np.save(tmp_path / "a.npy", RAMP.astype(np.uint16))
    assert load_image(tmp_path / "a.npy", scale=False).numpy().tolist() == [RAMP.tolist()]
    np.testing.assert_allclose(load_image(tmp_path / "a.npy").numpy()[0], RAMP / 65535, rtol=1e-6)


def test_no_reader_for_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr("fesf.transforms.loading._loader", lambda: type("None", (), {"readers": []}))
    with pytest.raises(ValueError, match=r"takes '.*a\.xyz': convert it, or install itk"):
        load_image(tmp_path / "a.xyz")


def test_transform_keeps_metadata():
    image = MetaTensor(torch.full((3, 2, 2), 255, dtype=torch.uint8), affine=torch.eye(4) * 2, meta={"a": 1})
    grey = ToUnitGrey()(image)
    assert grey.shape == (1, 2, 2)
    assert grey.max() == 1
    assert grey.meta["a"] == 1
    assert torch.equal(grey.affine, image.affine)
    assert type(ToUnitGrey()(image.as_tensor())) is torch.Tensor


def test_dictionary_equals_array():
    image = RAMP[None].astype(np.uint8)
    data = {"a": image, "b": image * 2, "label": 1}
    out = ToUnitGreyd(("a", "b", "c"), allow_missing_keys=True)(data)
    assert torch.equal(out["a"], to_unit_grey(image))
    assert torch.equal(out["b"], to_unit_grey(image * 2))
    assert out["label"] == 1
    assert data["a"] is image
    with pytest.raises(KeyError, match="c"):
        ToUnitGreyd("c")(data)
    assert ToUnitGreyD is ToUnitGreyd is ToUnitGreyDict


def test_host_from_path_array_and_tensor(tmp_path):
    picture = pictures()["RGB"]
    picture.save(tmp_path / "host.png")
    array = np.moveaxis(np.asarray(picture), -1, 0)
    from_path = read_host(tmp_path / "host.png")
    assert type(from_path) is torch.Tensor
    torch.testing.assert_close(from_path, read_host(array.transpose(0, 2, 1)))
    torch.testing.assert_close(read_host(str(tmp_path / "host.png")), from_path)
    floats = torch.rand(3, 4, 5, dtype=torch.float64)
    assert torch.equal(read_host(MetaTensor(floats)), floats)  # floats as they are, all channels
