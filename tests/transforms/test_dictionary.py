"""The dictionary transforms equal the array transforms, key by key."""

from __future__ import annotations

import pickle

import pytest
import torch
from monai.data import CacheDataset, DataLoader, MetaTensor
from monai.transforms import Compose, InvertibleTransform, Lambdad
from monai.transforms.transform import MapTransform, Randomizable
from monai.utils import set_determinism

import fesf.transforms as package
from fesf.networks import EnhancementGenerator, SurrogateNet
from fesf.transforms import (
    EnhanceImage,
    EnhanceImaged,
    HideImage,
    HideImaged,
    RandHideImage,
    RandHideImaged,
    SurrogateImage,
    SurrogateImaged,
)


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


@pytest.fixture
def pairs(hosts):
    """Each dictionary transform of a network beside its array transform."""
    generator = EnhancementGenerator(2, channels=(4, 8))
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.normal_(0.0, 0.2, generator=torch.Generator().manual_seed(0))
    net = SurrogateNet(hosts[0], 0.2, 0.5, generator, 0.3, 0.9)
    return [(EnhanceImaged, EnhanceImage, generator), (SurrogateImaged, SurrogateImage, net)]


def test_networks_equal_array(data, pairs):
    for dictionary, array, network in pairs:
        before = dict(data)
        out = dictionary(("image", "other"), network)(data)
        for key in ("image", "other"):
            assert torch.equal(torch.as_tensor(out[key]), torch.as_tensor(array(network)(data[key])))
            assert not torch.equal(torch.as_tensor(out[key]), torch.as_tensor(data[key]))
        assert set(out) == {"image", "other", "label"}
        assert isinstance(out["image"], MetaTensor)
        assert "schmidt" not in f"{out['image'].meta}{out}"
        assert data == before  # the caller's dictionary is untouched
        assert data["image"] is before["image"]
        assert data["image"].meta["filename_or_obj"] == "schmidt.png"


def test_networks_missing_keys_and_refusals(data, pairs):
    for dictionary, _, network in pairs:
        with pytest.raises(KeyError, match="absent"):
            dictionary("absent", network)(data)
        assert "absent" not in dictionary(("absent", "other"), network, allow_missing_keys=True)(data)
        with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
            dictionary("other", network)({"other": data["other"] * 2})


def test_networks_names_and_kinds(data, pairs):
    assert package.EnhanceImageD is package.EnhanceImageDict is EnhanceImaged
    assert package.SurrogateImageD is package.SurrogateImageDict is SurrogateImaged
    for dictionary, array, network in pairs:
        transform = dictionary("other", network)
        assert isinstance(transform, MapTransform)
        assert not isinstance(transform, InvertibleTransform)
        assert not hasattr(transform, "inverse")
        assert not network.training
        assert dictionary.backend is array.backend
        copied = pickle.loads(pickle.dumps(transform))
        assert torch.equal(copied(data)["other"], transform(data)["other"])


def test_the_pipeline_in_three_steps_or_one(data, hosts, pairs):
    """Configs may build it from the steps: the second pass is HideImage with what EnhanceImaged made as host."""
    (_, _, generator), (_, _, net) = pairs
    steps = Compose([HideImaged("other", hosts[0], 0.2, 0.5), EnhanceImaged("other", generator)])
    enhanced = steps({"other": data["other"]})["other"]
    out = SurrogateImaged("other", net)(data)["other"]
    torch.testing.assert_close(out, HideImage(enhanced, 0.3, 0.9)(data["other"]), rtol=0, atol=1e-6)
