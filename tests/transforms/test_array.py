"""The array transforms: against the formula or the network, over every container, and every refusal."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor, set_track_meta
from monai.transforms import Compose, InvertibleTransform
from monai.utils import set_determinism
from PIL import Image
from torch import nn

from fesf.networks import EnhancementGenerator, SurrogateNet
from fesf.networks.surrogate import STAGES
from fesf.transforms import EnhanceImage, HideImage, RandHideImage, SurrogateImage, hide
from fesf.transforms import array as module

AFFINE = torch.diag(torch.tensor([2.0, 3.0, 1.0, 1.0], dtype=torch.float64))


@pytest.fixture(scope="module")
def host(images):
    return images((16, 14), 2, lead=(1,))


@pytest.fixture(scope="module")
def plain(images):
    return images((16, 14), 1, lead=(1,))


@pytest.fixture(scope="module")
def hosts(images):
    return [images((16, 14), seed, lead=(1,)) for seed in range(10, 14)]


def source(image: torch.Tensor) -> MetaTensor:
    """A MetaTensor that knows where it came from."""
    meta = {"filename_or_obj": "schmidt.png", "PatientName": "Anna"}
    return MetaTensor(image, affine=AFFINE, meta=meta, applied_operations=[{"class": "Resize"}])


# --- HideImage --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("container", [np.asarray, torch.as_tensor, source])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_against_the_formula(reference, plain, host, container, dtype):
    expected = reference(plain[0].numpy(), host[0].numpy(), 0.1, 0.5).real.clip(0, 1)
    out = HideImage(host)(container(plain.to(dtype)))
    assert out.dtype == dtype
    assert out.shape == (1, 16, 14)
    np.testing.assert_allclose(out.numpy()[0], expected, rtol=0, atol=1e-6 if dtype == torch.float32 else 1e-12)
    assert type(out) is (MetaTensor if container is source else torch.Tensor)


def test_volumes_and_channels(reference, images):
    plain, host = images((8, 9, 7), 1, lead=(2,)), images((8, 9, 7), 2, lead=(2,))
    out = HideImage(host, alpha=0.2, beta=0.7, clip=False)(plain)
    for c in range(2):
        expected = reference(plain[c].numpy(), host[c].numpy(), 0.2, 0.7).real
        np.testing.assert_allclose(out[c].numpy(), expected, rtol=0, atol=1e-6)


def test_clip(images):
    plain, host = images((16, 16), 1, lead=(1,)) ** 4, images((16, 16), 2, lead=(1,)) ** 4
    raw = HideImage(host, 0.3, 0.9, clip=False)(plain)
    assert raw.min() < 0
    assert torch.equal(HideImage(host, 0.3, 0.9)(plain), raw.clamp(0, 1))


def test_metatensor_keeps_the_affine_alone(plain, host):
    out = HideImage(host)(source(plain))
    assert torch.equal(out.affine, AFFINE)
    assert out.applied_operations == []
    assert set(map(str, out.meta)) == {"affine", "space"}


def test_metatensor_without_tracking(plain, host):
    set_track_meta(False)
    try:
        assert type(HideImage(host)(source(plain))) is torch.Tensor
    finally:
        set_track_meta(True)


def test_there_is_no_inverse(host):
    for transform in (HideImage(host), RandHideImage([host])):
        assert not isinstance(transform, InvertibleTransform)
        assert not hasattr(transform, "inverse")
    assert "no ``inverse``" in HideImage.__doc__


def test_host_from_a_16_bit_file(tmp_path, plain, host):
    stored = (host[0].numpy() * 65535).round().astype(np.uint16)
    Image.fromarray(np.ascontiguousarray(stored.T)).save(tmp_path / "host.png")
    expected = hide(plain, torch.from_numpy(stored / np.float32(65535))[None], 0.2, 0.5, clip=True)
    torch.testing.assert_close(HideImage(tmp_path / "host.png", 0.2)(plain), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(HideImage(stored[None], 0.2)(plain), expected, rtol=0, atol=1e-6)


def test_host_is_prepared_once(plain, host, monkeypatch):
    transform = HideImage(host)
    calls = []
    prepare = module.prepare_host
    monkeypatch.setattr(module, "prepare_host", lambda *args: calls.append(args) or prepare(*args))
    for _ in range(3):
        transform(plain)
    assert len(calls) == 1
    transform(plain.double())  # another dtype has its own tables
    transform(plain)
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": -0.1}, r"alpha must be a number in \[0, 0\.5\].*got -0\.1"),
        ({"alpha": 0.6}, r"got 0\.6"),
        ({"alpha": math.nan}, "got nan"),
        ({"beta": 1.5}, r"beta must be a number in \[0, 1\].*got 1\.5"),
        ({"beta": math.nan}, "beta.*got nan"),
        (
            {"host": np.zeros((1, 8, 8), dtype=np.float32)},
            r"the host is constant \(value 0 .*choose a host with structure",
        ),
        ({"host": np.full((1, 8, 8), 7, dtype=np.uint8)}, r"the host is constant \(value 0\.0274"),
        ({"host": torch.rand(8, 8)}, r"host has shape \(8, 8\): expected \(C, H, W\).*EnsureChannelFirst"),
        ({"host": torch.rand(1, 8, 8) * 3}, r"the host has values in \[.*\], outside \[0, 1\]: scale it"),
        ({"host": torch.full((1, 8, 8), math.nan)}, "the host has non-finite values"),
        ({"host": torch.rand(1, 8, 8).half()}, r"host has dtype torch\.float16: cast it"),
        ({"host": torch.rand(1, 0, 8)}, r"the host is empty, its shape is \(1, 0, 8\)"),
    ],
)
def test_refuses_arguments(host, arguments, message):
    with pytest.raises(ValueError, match=message):
        HideImage(**({"host": host} | arguments))


def broken(value: float):
    def spoil(image: torch.Tensor) -> torch.Tensor:
        image = image.clone()
        image[0, 3, 3] = value
        return image

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x: (x * 255).byte(), r"plaintext has dtype torch\.uint8.*ScaleIntensityRange"),
        (lambda x: (x * 255).numpy().astype(np.int16), r"plaintext has dtype torch\.int16.*ScaleIntensityRange"),
        (lambda x: x.half(), r"plaintext has dtype torch\.float16: cast it to float32 or float64"),
        (broken(math.nan), "plaintext has non-finite values.*nan_to_num"),
        (broken(math.inf), "plaintext has non-finite values .*maximum inf"),
        (broken(-math.inf), "plaintext has non-finite values .*minimum -inf"),
        (broken(1.01), r"plaintext has values in \[.*1\.01\], outside \[0, 1\].*ScaleIntensityRange"),
        (broken(-0.5), r"plaintext has values in \[-0\.5"),
        (lambda x: x.expand(3, -1, -1), r"plaintext has 3 channel\(s\) and the host 1 .*ToUnitGrey"),
        (lambda x: x[:, :15], r"plaintext has shape \(1, 15, 14\) and the host \(1, 16, 14\): resize"),
        (lambda x: x[0], r"plaintext has shape \(16, 14\) and the host \(1, 16, 14\)"),
    ],
)
def test_refuses_images(plain, host, spoil, message):
    with pytest.raises(ValueError, match=message):
        HideImage(host)(spoil(plain))
    with pytest.raises(ValueError, match=message):
        RandHideImage([host])(spoil(plain))


def test_phase_blind_in_8_bit(images, host, plain):
    transform = HideImage(host, 0.3, 0.8)
    for other in (torch.roll(plain, (5, -3), (1, 2)), plain.flip((1, 2))):
        levels = (transform(other) * 255).round() - (transform(plain) * 255).round()
        assert levels.abs().max() <= 1


# --- RandHideImage ----------------------------------------------------------------------------------------------------


def test_draws_host_alpha_and_beta_in_randomize(plain, hosts):
    transform = RandHideImage(hosts, alpha=(0.1, 0.4), beta=(0.2, 0.8)).set_random_state(7)
    state = np.random.RandomState(7)
    seen = set()
    for _ in range(12):
        out = transform(plain)
        assert state.rand() < 1.0
        index, alpha, beta = state.randint(len(hosts)), state.uniform(0.1, 0.4), state.uniform(0.2, 0.8)
        seen.add(index)
        torch.testing.assert_close(out, hide(plain, hosts[index], alpha, beta, clip=True), rtol=0, atol=2e-7)
    assert seen == {0, 1, 2, 3}


def test_same_seed_same_result_next_draw_differs(plain, hosts):
    first, second = (RandHideImage(hosts, (0.0, 0.5), (0.0, 1.0)).set_random_state(3) for _ in range(2))
    a, b = first(plain), first(plain)
    assert torch.equal(a, second(plain))
    assert torch.equal(b, second(plain))
    assert not torch.equal(a, b)
    assert torch.equal(first(plain, randomize=False), b)
    assert not torch.equal(a, RandHideImage(hosts, (0.0, 0.5), (0.0, 1.0)).set_random_state(4)(plain))


def test_global_generators_are_left_alone(plain, hosts):
    before = np.random.get_state()[1].copy(), torch.random.get_rng_state()
    RandHideImage(hosts).set_random_state(0)(plain)
    assert np.array_equal(np.random.get_state()[1], before[0])
    assert torch.equal(torch.random.get_rng_state(), before[1])


def test_numbers_for_ranges_and_one_host(plain, host):
    transform = RandHideImage(host[None], alpha=0.2, beta=0.5, clip=False)
    torch.testing.assert_close(transform(plain), hide(plain, host, 0.2, 0.5), rtol=0, atol=2e-7)


def test_one_path_is_one_host(tmp_path, plain, host):
    np.save(tmp_path / "host.npy", host[0].numpy())
    torch.testing.assert_close(
        RandHideImage(str(tmp_path / "host.npy"), 0.2, 0.5)(plain),
        hide(plain, host, 0.2, 0.5, clip=True),
        rtol=0,
        atol=2e-7,
    )


def test_prob_zero_returns_the_plaintext_without_its_traces(plain, hosts):
    given = source(plain)
    out = RandHideImage(hosts, prob=0.0)(given)
    assert torch.equal(out.as_tensor(), plain)
    assert set(map(str, out.meta)) == {"affine", "space"}
    assert out.data_ptr() != given.data_ptr()


def test_prob_half_hides_about_half(plain, hosts):
    transform = RandHideImage(hosts, prob=0.5).set_random_state(0)
    hidden = [not torch.equal(transform(plain), plain) for _ in range(200)]
    assert 70 < sum(hidden) < 130


def test_cache_is_bounded_and_shared_by_alphas_of_one_band(plain, hosts, monkeypatch):
    monkeypatch.setattr(module, "CACHED_HOSTS", 3)
    transform = RandHideImage(hosts, alpha=(0.0, 0.5)).set_random_state(0)
    calls = []
    prepare = module.prepare_host
    monkeypatch.setattr(module, "prepare_host", lambda *args: calls.append(args) or prepare(*args))
    for _ in range(40):
        transform(plain)
        assert len(transform._hosts._prepared) <= 3
    narrow = RandHideImage(hosts[0][None], alpha=(0.15, 0.18)).set_random_state(0)  # half-widths (2, 2) throughout
    calls.clear()
    for _ in range(5):
        narrow(plain)
    assert len(calls) == 1


def loader_values(plain, hosts, seed: int, workers: int) -> torch.Tensor:
    set_determinism(seed)
    try:
        dataset = Dataset([plain] * 6, Compose([RandHideImage(hosts, (0.0, 0.5), (0.0, 1.0))]))
        return torch.cat(list(DataLoader(dataset, batch_size=1, num_workers=workers)))
    finally:
        set_determinism(None)


def test_workers_and_seeds(plain, hosts):
    first = loader_values(plain, hosts, 0, 2)
    assert torch.equal(first, loader_values(plain, hosts, 0, 2))
    assert not torch.equal(first, loader_values(plain, hosts, 1, 2))
    assert len({tuple(x.flatten().tolist()) for x in first}) == 6  # two workers differ, and so do their next draws


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hosts": []}, r"the list of hosts is empty, got \[\]: pass at least one"),
        ({"alpha": (0.4, 0.1)}, r"alpha must be a pair \(low, high\) with low <= high, got \(0\.4, 0\.1\): swap"),
        ({"alpha": (0.1, 0.6)}, r"alpha must be a number in \[0, 0\.5\].*got 0\.6"),
        ({"beta": (math.nan, 1)}, "beta must be a number.*got nan"),
        ({"beta": (0.1, 0.2, 0.3)}, r"beta must be a number or a pair .*got \(0\.1, 0\.2, 0\.3\)"),
        ({"prob": 1.5}, r"prob must be in \[0, 1\], got 1\.5"),
        ({"hosts": [torch.rand(1, 8, 8), torch.rand(1, 8, 9)]}, r"host 1 has shape \(1, 8, 9\), host 0 \(1, 8, 8\)"),
        ({"hosts": [torch.rand(1, 8, 8), torch.ones(1, 8, 8)]}, "the host is constant"),
    ],
)
def test_rand_refuses_arguments(hosts, arguments, message):
    with pytest.raises(ValueError, match=message):
        RandHideImage(**({"hosts": hosts} | arguments))


# --- EnhanceImage and SurrogateImage ----------------------------------------------------------------------------------


@pytest.fixture
def generator():
    """Far from the identity, and with a dropout that only training has."""
    network = EnhancementGenerator(2, channels=(4, 8))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0.0, 0.2, generator=torch.Generator().manual_seed(0))
    return nn.Sequential(nn.Dropout(0.5), network)


@pytest.fixture
def net(host, generator):
    return SurrogateNet(host, 0.2, 0.5, generator, 0.3, 0.9)


@pytest.mark.parametrize("container", [np.asarray, torch.as_tensor, source])
def test_enhance_equals_the_generator(plain, generator, container):
    transform = EnhanceImage(generator)
    out = transform(container(plain))
    assert not generator.training
    assert type(out) is (MetaTensor if container is source else torch.Tensor)
    assert not out.requires_grad
    assert torch.equal(torch.as_tensor(out), generator(plain[None])[0].detach())
    assert (out - plain).abs().max() > 0.1
    assert torch.equal(torch.as_tensor(transform(container(plain))), torch.as_tensor(out))


def test_enhance_clamps(plain):
    conv = nn.Conv2d(1, 1, 1)
    nn.init.constant_(conv.weight, 3.0)
    nn.init.constant_(conv.bias, -1.0)
    torch.testing.assert_close(EnhanceImage(conv)(plain), (3 * plain - 1).clamp(0, 1), rtol=0, atol=1e-6)


def test_enhance_volumes_and_channels(images):
    volume = images((6, 5, 7), 1, lead=(2,))
    out = EnhanceImage(EnhancementGenerator(3, 2))(volume)  # the identity where it starts
    torch.testing.assert_close(out, volume, rtol=0, atol=1e-6)


@pytest.mark.parametrize("container", [np.asarray, torch.as_tensor, source])
@pytest.mark.parametrize("stage", STAGES)
def test_surrogate_equals_the_network(plain, host, net, stage, container):
    net.stage = stage
    transform = SurrogateImage(net)
    out = transform(container(plain))
    assert not net.training
    assert not net.generator.training
    assert type(out) is (MetaTensor if container is source else torch.Tensor)
    assert not out.requires_grad
    assert torch.equal(torch.as_tensor(out), net(plain[None])[0].detach())
    if stage == "synthetic":
        assert torch.equal(torch.as_tensor(out), HideImage(host, 0.2, 0.5)(plain))


def test_surrogate_by_the_other_transforms(plain, host, net):
    """One call equals the three steps of the pipeline, each by its own transform."""
    enhanced = EnhanceImage(net.generator)(HideImage(host, 0.2, 0.5)(plain))
    expected = HideImage(enhanced, 0.3, 0.9)(plain)
    torch.testing.assert_close(SurrogateImage(net)(plain), expected, rtol=0, atol=1e-6)


def test_one_pass_takes_both_dtypes(plain, host):
    transform = SurrogateImage(SurrogateNet(host, 0.2, 0.5))
    assert transform(plain.double()).dtype == torch.float64
    assert transform(plain).dtype == torch.float32


def test_network_transforms_keep_the_affine_alone(plain, generator, net):
    for transform in (EnhanceImage(generator), SurrogateImage(net)):
        given = source(plain)
        out = transform(given)
        assert torch.equal(out.affine, AFFINE)
        assert out.applied_operations == []
        assert set(map(str, out.meta)) == {"affine", "space"}
        assert given.meta["filename_or_obj"] == "schmidt.png"  # the caller's image is untouched
        assert torch.equal(given.as_tensor(), plain)
        set_track_meta(False)
        try:
            assert type(transform(source(plain))) is torch.Tensor
        finally:
            set_track_meta(True)


def test_network_transforms_have_no_inverse_and_pickle(plain, generator, net):
    for transform in (EnhanceImage(generator), SurrogateImage(net)):
        assert not isinstance(transform, InvertibleTransform)
        assert not hasattr(transform, "inverse")
        assert transform.backend == HideImage.backend
        assert "no ``inverse``" in type(transform).__doc__
        assert torch.equal(pickle.loads(pickle.dumps(transform))(plain), transform(plain))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x: (x * 255).byte(), r"has dtype torch\.uint8.*ScaleIntensityRange"),
        (lambda x: x.half(), r"has dtype torch\.float16: cast it to float32 or float64"),
        (lambda x: x.double().numpy(), r"has dtype torch\.float64 and the network torch\.float32: cast.*EnsureType"),
        (broken(math.nan), "has non-finite values.*nan_to_num"),
        (broken(1.01), r"has values in \[.*1\.01\], outside \[0, 1\].*ScaleIntensityRange"),
        (lambda x: x[:, :0], r"is empty, its shape is \(1, 0, 14\)"),
    ],
)
def test_network_transforms_refuse_values(plain, generator, net, spoil, message):
    with pytest.raises(ValueError, match="the synthetic image " + message):
        EnhanceImage(generator)(spoil(plain))
    with pytest.raises(ValueError, match="the plaintext " + message):
        SurrogateImage(net)(spoil(plain))


@pytest.mark.parametrize(
    ("spoil", "enhance_message", "surrogate_message"),
    [
        (
            lambda x: x[0],
            r"synthetic image has shape \(16, 14\): expected one image, \(C, H, W\) or \(C, D, H, W\); add the channel",
            r"plaintext has shape \(16, 14\) and the host \(1, 16, 14\)",
        ),
        (
            lambda x: x[None],
            r"batch has shape \[1, 1, 1, 16, 14\]: expected \(B, 1, \*spatial\) with 2 spatial axes",
            r"plaintext has shape \(1, 1, 16, 14\) and the host \(1, 16, 14\)",
        ),
        (
            lambda x: x[None, None],
            r"synthetic image has shape \(1, 1, 1, 16, 14\): expected one image.*one by one",
            r"plaintext has shape \(1, 1, 1, 16, 14\) and the host",
        ),
        (
            lambda x: x.expand(3, -1, -1),
            r"batch has shape \[1, 3, 16, 14\]: expected \(B, 1, \*spatial\)",
            r"plaintext has 3 channel\(s\) and the host 1 .*ToUnitGrey",
        ),
    ],
)
def test_network_transforms_refuse_shapes(plain, generator, net, spoil, enhance_message, surrogate_message):
    with pytest.raises(ValueError, match=enhance_message):
        EnhanceImage(generator)(spoil(plain))
    with pytest.raises(ValueError, match=surrogate_message):
        SurrogateImage(net)(spoil(plain))
