"""The pipeline in an attacker's hands is the hospital's, and nothing else passes for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fesf.networks import EnhancementGenerator
from fesf.scripts.audit.gateway import GENERATOR, Pipeline, gateway, read_pipeline, refuse_hidden_once, true_pairs
from fesf.scripts.data.files import file_sha256
from fesf.scripts.data.recipe import Recipe

from .conftest import bodies, hide


class Mirror(torch.nn.Module):
    """A generator that turns images upside down and makes them paler."""

    def forward(self, image):
        return 0.2 + 0.6 * image.flip(-2)


def recipe(**options):
    return Recipe("r-1", alpha=0.1, beta=0.5, image_size=(32, 32), **options)


PLAIN = bodies(np.random.default_rng(1), 3)
HOST = bodies(np.random.default_rng(2), 1)[0]


def raw(plain, host, alpha, beta):
    """SPEC section 2 without rounding."""
    mask = np.abs(np.fft.fftfreq(32) * 32) <= np.floor(alpha * 32)
    spectrum = np.fft.fft2(host)
    mixed = (1 - beta) * abs(spectrum) + beta * abs(np.fft.fft2(plain))
    amplitude = np.where(mask[:, None] & mask, mixed, abs(spectrum))
    return np.fft.ifft2(amplitude * np.exp(1j * np.angle(spectrum))).real.clip(0, 1)


def test_two_passes_by_the_formula():
    pipeline = Pipeline(recipe(generator_sha256="a" * 64, second_alpha=0.2, second_beta=0.3), Mirror())
    hosts = 0.2 + 0.6 * raw(PLAIN, HOST, 0.1, 0.5)[:, ::-1]
    expected = np.stack([raw(plain, host, 0.2, 0.3) for plain, host in zip(PLAIN, hosts, strict=True)])
    found = pipeline(PLAIN, HOST)
    np.testing.assert_allclose(found * 255, np.round(found * 255), atol=1e-9)
    assert np.abs(found - expected).max() < 0.5 / 255 + 1e-5
    np.testing.assert_allclose(Pipeline(recipe())(PLAIN, HOST), hide(PLAIN, HOST), atol=1.01 / 255)


def test_the_generator_is_found_by_its_digest(tmp_path):
    path = tmp_path / GENERATOR
    path.parent.mkdir()
    torch.save(EnhancementGenerator(2).state_dict(), path)
    owned = recipe(generator_sha256=file_sha256(path))
    found = read_pipeline(owned, tmp_path)
    assert isinstance(found.generator, EnhancementGenerator)
    assert not found.generator.training
    assert read_pipeline(recipe(), tmp_path).generator is None
    other = recipe(generator_sha256="b" * 64)
    assert read_pipeline(other, tmp_path) is None
    for named in (path, tmp_path / "none.pt"):
        with pytest.raises(ValueError, match="not the generator of this release"):
            read_pipeline(other, tmp_path, named)


def test_who_may_ask_what(make_scene):
    scene = make_scene()
    np.testing.assert_allclose(gateway(scene, PLAIN), hide(PLAIN, scene.host), atol=1.01 / 255)
    np.testing.assert_array_equal(gateway(replace(scene, scheme=lambda plain: plain / 2), PLAIN), PLAIN / 2)
    asked = replace(scene, pipeline=lambda plain, host: plain * host)
    np.testing.assert_array_equal(gateway(asked, PLAIN), PLAIN * scene.host)
    pairs = true_pairs(asked, PLAIN)
    np.testing.assert_array_equal((pairs.plain, pairs.seen), (PLAIN, PLAIN * scene.host))
    with pytest.raises(ValueError, match="The generator of this release is not at hand"):
        gateway(replace(scene, stage="surrogate"), PLAIN)
    with pytest.raises(ValueError, match="hidden once: no generator took part"):
        refuse_hidden_once(asked)
    with pytest.raises(ValueError, match="is not at hand"):
        refuse_hidden_once(replace(scene, stage="enhanced"))
    refuse_hidden_once(replace(asked, stage="enhanced"))
