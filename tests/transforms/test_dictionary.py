"""The dictionary transforms equal the array transforms, key by key."""

from __future__ import annotations

import pytest
import torch
from monai.data import CacheDataset, DataLoader, MetaTensor
from monai.transforms import Compose, InvertibleTransform, Lambdad
from monai.transforms.transform import MapTransform, Randomizable
from monai.utils import set_determinism

import fesf.transforms as package
from fesf.transforms import HideImage, HideImaged, RandHideImage, RandHideImaged


@pytest.fixture(scope="module")
def hosts(images):
    return [images((12, 10), seed, lead=(1,)) for seed in range(10, 14)]


@pytest.fixture
def data(images):
    return {
        "image": MetaTensor(images((12, 10), 1, lead=(1,)), meta={"filename_or_obj": "schmidt.png"}),
        "other": images((12, 10), 2, lead=(1,)),
        "label": 1,
        "image_meta_dict": {"filename_or_obj": "schmidt.png"},
        "image_transforms": ["LoadImage"],
    }


def test_hide_equals_array(data, hosts):
    before = dict(data)
    out = HideImaged(("image", "other"), hosts[0], 0.2, 0.7, clip=False)(data)
    array = HideImage(hosts[0], 0.2, 0.7, clip=False)
    for key in ("image", "other"):
        assert torch.equal(torch.as_tensor(out[key]), torch.as_tensor(array(data[key])))
    assert isinstance(out["image"], MetaTensor)
    assert out["label"] == 1
    assert data == before  # the caller's dictionary is untouched
    assert data["image"] is before["image"]


def test_no_entry_names_the_source(data, hosts):
    for transform in (HideImaged("image", hosts[0]), RandHideImaged("image", hosts)):
        out = transform(data)
        assert set(out) == {"image", "other", "label"}
        assert "schmidt" not in f"{out['image'].meta}{out}"


def test_missing_keys(data, hosts):
    for make in (HideImaged, RandHideImaged):
        host = hosts[0] if make is HideImaged else hosts
        with pytest.raises(KeyError, match="absent"):
            make("absent", host)(data)
        assert "absent" not in make(("absent", "other"), host, allow_missing_keys=True)(data)


def test_one_draw_for_all_keys(data, hosts):
    transform = RandHideImaged(("image", "other"), hosts, (0.0, 0.5), (0.0, 1.0)).set_random_state(5)
    array = RandHideImage(hosts, (0.0, 0.5), (0.0, 1.0)).set_random_state(5)
    for _ in range(3):
        out = transform(data)
        assert torch.equal(torch.as_tensor(out["image"]), torch.as_tensor(array(data["image"])))
        assert torch.equal(out["other"], array(data["other"], randomize=False))


def test_seeds(data, hosts):
    def make(seed: int) -> RandHideImaged:
        return RandHideImaged("other", hosts, (0.0, 0.5), (0.0, 1.0)).set_random_state(seed)

    first = make(1)
    a, b = first(data)["other"], first(data)["other"]
    assert torch.equal(a, make(1)(data)["other"])
    assert not torch.equal(a, b)
    assert not torch.equal(a, make(2)(data)["other"])
    assert (
        Compose([make(0)])
        .set_random_state(3)(data)["other"]
        .equal(Compose([make(9)]).set_random_state(3)(data)["other"])
    )


def test_caching_and_workers_draw_anew(data, hosts):
    """CacheDataset must not cache the draw, and two workers must not draw alike."""
    set_determinism(0)
    try:
        items = [{"other": data["other"]}] * 4
        transform = Compose([Lambdad("other", torch.clone), RandHideImaged("other", hosts, (0.0, 0.5), (0.0, 1.0))])
        dataset = CacheDataset(items, transform, progress=False)
        loader = DataLoader(dataset, batch_size=1, num_workers=2)
        values = torch.cat([batch["other"] for _ in range(2) for batch in loader])
    finally:
        set_determinism(None)
    assert len({tuple(x.flatten().tolist()) for x in values}) == 8


def test_prob_zero(data, hosts):
    out = RandHideImaged(("image", "other"), hosts, prob=0.0)(data)
    assert torch.equal(out["other"], data["other"])
    assert "filename_or_obj" not in out["image"].meta


def test_refusals_are_the_arrays(data, hosts):
    with pytest.raises(ValueError, match=r"alpha must be a number in \[0, 0\.5\].*got 0\.7"):
        HideImaged("image", hosts[0], alpha=0.7)
    with pytest.raises(ValueError, match="the list of hosts is empty"):
        RandHideImaged("image", [])
    with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
        HideImaged("other", hosts[0])({"other": data["other"] * 2})


def test_names_and_kinds(hosts):
    assert package.HideImageD is package.HideImageDict is HideImaged
    assert package.RandHideImageD is package.RandHideImageDict is RandHideImaged
    for transform in (HideImaged("a", hosts[0]), RandHideImaged("a", hosts)):
        assert isinstance(transform, MapTransform)
        assert not isinstance(transform, InvertibleTransform)
    assert isinstance(RandHideImaged("a", hosts), Randomizable)
    assert HideImaged.backend is HideImage.backend
    assert sorted(package.__all__) == package.__all__ or all(hasattr(package, name) for name in package.__all__)
