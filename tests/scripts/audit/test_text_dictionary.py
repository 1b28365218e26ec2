"""The name that is written is told from the others, by its amplitude alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fesf.scripts.audit.attack import run_attack
from fesf.scripts.audit.scene import Images, Scene
from fesf.scripts.audit.text_dictionary import (
    TextDictionary,
    by_radius,
    correlation,
    ranks,
    text_amplitudes,
    whitened,
)
from fesf.scripts.data.text_overlay import Overlay, burn_in, coverage, names, text_box
from fesf.transforms import hide

from .conftest import smooth

SIDE, SIZE, VICTIMS = 128, 14, 20
CANDIDATES = tuple(names(60))
WRITTEN = {patient: int(index) for patient, index in enumerate(np.random.default_rng(1).permutation(60)[:VICTIMS])}


def scene(write: bool = True, alpha: float = 0.25) -> Scene:
    """Twenty victims with a name each at a random place, hidden by the project's own function, in 8 bits."""
    rng = np.random.default_rng(0)
    plain = 0.6 * smooth(rng, VICTIMS + 11, SIDE).astype(np.float32)
    host, pool, plain = plain[0], plain[1:11], plain[11:]
    for patient, index in WRITTEN.items() if write else ():
        text = CANDIDATES[index]
        _, _, right, bottom = text_box(text, "sans", SIZE)
        place = int(rng.integers(0, max(1, SIDE - right))), int(rng.integers(0, SIDE - bottom))
        plain[patient] = burn_in(plain[patient], Overlay(text, "sans", SIZE, *place))
    seen = hide(torch.from_numpy(plain)[:, None], torch.from_numpy(host)[None], alpha, 0.5, clip=True)[:, 0].numpy()
    order = np.arange(VICTIMS)
    seen = np.rint(seen.astype(np.float64) * 255) / 255
    victims = Images(seen, plain.astype(np.float64), np.zeros_like(order), order, order)
    return Scene(victims.take(order[:0]), victims, host.astype(np.float64), pool.astype(np.float64), alpha, 0.5)


def rank_1(attack: TextDictionary, made: Scene) -> float:
    return float(attack.score(attack.fit(made), made).values.mean())


@pytest.mark.parametrize("host_known", [True, False])
def test_the_name_is_found_with_its_font_and_size_alone(host_known: bool) -> None:
    attack = TextDictionary(CANDIDATES, WRITTEN, size=SIZE, host_known=host_known)
    assert rank_1(attack, scene()) >= 0.9
    assert rank_1(attack, scene(write=False)) <= 0.1
    assert rank_1(replace(attack, size=SIZE + 2), scene()) <= 0.4
    assert rank_1(replace(attack, font="mono"), scene()) <= 0.5
    shuffled = {patient: (index + 7) % 60 for patient, index in WRITTEN.items()}
    assert rank_1(replace(attack, written=shuffled), scene()) <= 0.1


def test_a_wider_band_tells_more() -> None:
    attack = TextDictionary(CANDIDATES, WRITTEN, size=SIZE)
    made = scene(alpha=0.02)
    score = attack.score(attack.fit(made), made)
    assert score.values.mean() < 0.6
    assert score.chance == 1 / 60
    assert score.details["median_rank"] >= 1


def test_the_controls_of_the_audit() -> None:
    result = run_attack(TextDictionary(CANDIDATES, WRITTEN, size=SIZE), scene())
    summary = result.summary()
    assert summary["plaintext"]["value"] >= 0.9
    assert summary["broken"]["value"] >= 0.9
    assert summary["permuted"]["value"] <= 0.1
    assert summary["store"]["low"] > summary["store"]["chance"]


def test_amplitudes_do_not_depend_on_the_place() -> None:
    shape = (64, 128)
    drawn = text_amplitudes(("AB", "CD"), "sans", 14, shape).astype(np.float64)
    for index, text in enumerate(("AB", "CD")):
        moved = np.abs(np.fft.rfft2(coverage(Overlay(text, "sans", 14, 70, 40), shape)))
        np.testing.assert_allclose(drawn[index], moved, rtol=2e-3, atol=2e-3)
    left, top, right, bottom = text_box("AB", "sans", 14)
    boxes = text_amplitudes(("AB",), "sans", 14, shape, boxes=True)
    assert float(boxes[0, 0, 0]) == (right - left) * (bottom - top)


def test_means_over_rings() -> None:
    values = np.arange(15.0).reshape(1, 15)  # a band of half-widths 2 in 8 x 8: rows 0, 1, 2, -2, -1; columns 0, 1, 2
    rows = np.array([0, 1, 2, -2, -1])
    kept = [(r, c) for r in rows for c in range(3) if not (c == 0 and r < 0)]  # conjugates are left out
    values = np.arange(float(len(kept)))
    rings = np.array([round(float(np.hypot(r, c))) for r, c in kept])
    expected = [values[rings == ring].mean() for ring in rings]
    np.testing.assert_allclose(by_radius(values, (8, 8), 0.25), expected)
    np.testing.assert_allclose(by_radius(np.stack([values, 2 * values]), (8, 8), 0.25)[1], 2 * np.array(expected))


def test_rings_are_whitened_and_correlated() -> None:
    rng = np.random.default_rng(0)
    values = rng.uniform(1, 2, (3, 13)) * np.arange(1, 14)
    white = whitened(values, (8, 8), 0.25)
    np.testing.assert_allclose(by_radius(np.square(white.astype(np.float64)), (8, 8), 0.25), 1.0, rtol=1e-5)
    ratio = values / white
    assert len(np.unique(np.rint(ratio[0] * 1e3))) == 4  # one factor a ring: 0, 1, 2, 3
    seen, templates = (rng.normal(size=(count, 50)).astype(np.float32) for count in (3, 4))
    expected = np.corrcoef(seen, templates)[:3, 3:]
    found = correlation(seen, templates)
    length = np.linalg.norm(seen - seen.mean(1, keepdims=True), axis=1, keepdims=True)
    np.testing.assert_allclose(found / length, expected, atol=1e-5)


def test_ties_count_half() -> None:
    likeness = np.array([[3.0, 1.0, 2.0], [1.0, 1.0, 1.0]])
    assert ranks(likeness, np.array([2, 0])).tolist() == [1.0, 1.0]
