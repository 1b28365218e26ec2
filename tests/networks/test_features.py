"""TextureFeatures against a convolution written out with SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate

from fesf.networks.features import TextureFeatures


def halve(image: np.ndarray) -> np.ndarray:
    """Means of blocks of two an axis; a lonely last one stays."""
    for axis in range(image.ndim):
        starts = np.arange(0, image.shape[axis], 2)
        sums, counts = np.add.reduceat(image, starts, axis), np.diff(np.append(starts, image.shape[axis]))
        image = sums / counts.reshape([-1 if other == axis else 1 for other in range(image.ndim)])
    return image


def cells(image: np.ndarray, count: int) -> np.ndarray:
    """The image averaged to so many cells an axis; neighbours overlap where the length is no multiple."""
    for axis in range(image.ndim):
        length = image.shape[axis]
        parts = [np.arange(i * length // count, -(-(i + 1) * length // count)) for i in range(count)]
        image = np.stack([image.take(part, axis).mean(axis) for part in parts], axis)
    return image


def by_formula(image: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """Features of an image (C, *spatial)."""
    parts = [np.stack([cells(channel, 4) for channel in image]).ravel()]
    values = image - 0.5
    for weight in weights:
        filtered = [
            sum(correlate(channel, kernel, mode="constant") for channel, kernel in zip(values, kernels, strict=True))
            for kernels in weight
        ]
        values = np.maximum(np.stack(filtered), 0)
        axes = tuple(range(1, values.ndim))
        parts += [values.mean(axes), values.std(axes)]
        values = np.stack([halve(channel) for channel in values])
    return np.concatenate(parts)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 5, 7), (2, 9, 4), (1, 5, 4, 6)])
def test_features_follow_the_formula(shape: tuple[int, ...]) -> None:
    network = TextureFeatures(len(shape) - 1, shape[0]).double()
    images = np.random.default_rng(3).random((2, *shape))
    weights = [level.weight.numpy() for level in network.levels]
    expected = np.stack([by_formula(image, weights) for image in images])
    np.testing.assert_allclose(network(torch.from_numpy(images)).numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("spatial_dims", "length"), [(2, 240), (3, 288)])
def test_length_of_the_vector(spatial_dims: int, length: int) -> None:
    assert TextureFeatures(spatial_dims)(torch.rand(3, 1, *[12] * spatial_dims)).shape == (3, length)


def test_weights_are_numpys_and_always_the_same() -> None:
    torch.manual_seed(1)
    first = TextureFeatures(2).state_dict()
    torch.manual_seed(2)
    second = TextureFeatures(2).state_dict()
    rng = np.random.default_rng(0)
    for (inputs, outputs), name in zip(((1, 16), (16, 32), (32, 64)), first, strict=True):
        drawn = rng.standard_normal((outputs, inputs, 3, 3)) * np.sqrt(2 / (9 * inputs))
        np.testing.assert_array_equal(first[name].numpy(), drawn.astype(np.float32))
        assert torch.equal(first[name], second[name])
    other = TextureFeatures(2, seed=1).state_dict()
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_nothing_is_trained() -> None:
    assert not any(parameter.requires_grad for parameter in TextureFeatures(2).parameters())


def test_an_image_does_not_depend_on_its_batch() -> None:
    images = torch.rand(5, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    network = TextureFeatures(2)
    torch.testing.assert_close(network(images)[3:4], network(images[3:4]), rtol=1e-5, atol=1e-6)
