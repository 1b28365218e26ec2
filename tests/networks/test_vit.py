"""ViTClassifier: MONAI's ViT with the same weights, logits alone, images of any size."""

from __future__ import annotations

import sys

import pytest
import torch
from monai.networks.nets import ViT
from torch import nn
from torch.nn.functional import pad

from fesf.networks import ViTClassifier

SMALL = {"hidden_size": 24, "mlp_dim": 16, "num_layers": 2, "num_heads": 2}


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def images(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", [(64, 64), (32, 32), (28, 28), (128, 96), (3, 5), (32, 16, 20)])
def test_takes_every_size(size: tuple[int, ...]) -> None:
    network = ViTClassifier(in_channels=2, num_classes=3, spatial_dims=len(size), **SMALL)
    logits = network(images(4, 2, *size))
    assert logits.shape == (4, 3)
    assert logits.isfinite().all()


def test_logits_are_not_bounded() -> None:
    network = ViTClassifier(**SMALL)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "classification_head" in name:
                parameter.fill_(5)
    assert network(images(1, 1, 16, 16)).abs().min() > 2


@pytest.mark.filterwarnings("ignore:torch.meshgrid:UserWarning")  # MONAI 1.6.1 passes no indexing
@pytest.mark.parametrize(
    ("size", "patch_size"), [((64, 64), 8), ((24, 40), (4, 8)), ((16, 24, 32), 8), ((8, 16, 12), (2, 8, 4))]
)
def test_equals_monais_with_the_same_weights(size: tuple[int, ...], patch_size: int | tuple[int, ...]) -> None:
    shared = {"in_channels": 1, "spatial_dims": len(size), "patch_size": patch_size, "num_classes": 3, **SMALL}
    ours = ViTClassifier(**shared).eval()
    reference = ViT(**shared, img_size=size, pos_embed_type="sincos", classification=True, post_activation="").eval()
    loaded = reference.load_state_dict(ours.vit.state_dict(), strict=False)
    assert loaded.missing_keys == ["patch_embedding.position_embeddings"]
    assert loaded.unexpected_keys == []
    image = images(2, 1, *size)
    with torch.no_grad():
        torch.testing.assert_close(ours(image), reference(image)[0], rtol=0, atol=1e-5)


def test_an_incomplete_patch_is_padded_with_zeros() -> None:
    network = ViTClassifier(**SMALL).eval()
    image = images(2, 1, 26, 21)
    assert torch.equal(network(image), network(pad(image, (0, 3, 0, 6))))
    changed = image.clone()
    changed[..., -1, -1] += 1
    assert not torch.allclose(network(image), network(changed), rtol=0, atol=1e-6)


def test_where_a_patch_lies_matters() -> None:
    network = ViTClassifier(**SMALL).eval()
    image = images(1, 1, 32, 32)
    for axis in (-2, -1):
        assert (network(image) - network(image.roll(8, axis))).abs().max() > 1e-4


def test_default_is_small() -> None:
    assert sum(parameter.numel() for parameter in ViTClassifier().parameters()) < 2_000_000


def test_dropout_in_training_alone() -> None:
    network = ViTClassifier(dropout_rate=0.5, **SMALL)
    assert {module.p for module in network.modules() if isinstance(module, nn.Dropout)} == {0.5}
    image = images(1, 1, 32, 32)
    assert not torch.equal(network(image), network(image))
    network.eval()
    assert torch.equal(network(image), network(image))


def test_dtype_follows_the_module() -> None:
    network = ViTClassifier(**SMALL).eval()
    image = images(2, 1, 32, 32)
    single = network(image)
    double = network.double()(image.double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), single, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dims", [2, 3])
def test_scripts_for_every_size(dims: int) -> None:
    network = ViTClassifier(spatial_dims=dims, **SMALL).eval()
    scripted = torch.jit.script(network)
    for length in (16, 21):
        image = images(2, 1, *[length] * dims)
        with torch.no_grad():
            torch.testing.assert_close(scripted(image), network(image), rtol=0, atol=1e-6)


def test_learns() -> None:
    """Stripes along one axis or the other, which have the same grey values."""
    wave = torch.sin(torch.arange(16) * torch.pi / 2 + 0.5)
    stripes = torch.stack([wave.expand(16, 16), wave[:, None].expand(16, 16)])[:, None]
    labels = torch.tensor([0, 1])
    network = ViTClassifier(**SMALL)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.003)
    losses = []
    for _ in range(40):
        loss = torch.nn.functional.cross_entropy(network(stripes), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spatial_dims": 1}, "spatial_dims must be 2 or 3, got 1"),
        ({"hidden_size": 100, "num_heads": 3}, "multiple of num_heads=3 and of 4 .*got 100: choose 192 with 3 heads"),
        ({"hidden_size": 64, "num_heads": 4, "spatial_dims": 3}, "num_heads=4 and of 6 .*got 64"),
        ({"dropout_rate": 1.5}, r"dropout_rate must be in \[0, 1\], got 1\.5"),
        ({"patch_size": (8, 0)}, r"patch_size must be at least 1 on every axis, got \(8, 0\)"),
    ],
)
def test_refuses_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ViTClassifier(**arguments)


@pytest.mark.parametrize("shape", [(2, 3, 16, 16), (1, 16, 16), (2, 1, 16, 16, 16)])
def test_refuses_batches(shape: tuple[int, ...]) -> None:
    expected = r"expected \(B, 1, \*spatial\) with 2 spatial axes; give the network"
    message = rf"shape \[{', '.join(map(str, shape))}\]: {expected}"
    with pytest.raises(ValueError, match=message):
        ViTClassifier(**SMALL)(images(*shape))


def test_says_that_einops_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "einops", None)
    with pytest.raises(ValueError, match=r"^ViTClassifier needs the package einops: pip install einops, or choose"):
        ViTClassifier()
