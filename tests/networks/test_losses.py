"""AdversarialLoss: against its formulas in numpy, and by hand."""

from __future__ import annotations

import doctest
import importlib

import numpy as np
import pytest
import torch
from monai.losses import PatchAdversarialLoss
from numpy.typing import NDArray
from torch import Tensor

from fesf.networks import AdversarialLoss
from fesf.networks.losses import CRITERIA


def sigma(x: NDArray) -> NDArray:
    return 1 / (1 + np.exp(-x))


DISCRIMINATOR = {  # of host images' logits r and of G's images' logits f
    "log": lambda r, f: -np.mean(np.log(sigma(r))) - np.mean(np.log(1 - sigma(f))),
    "least_squares": lambda r, f: np.mean((r - 1) ** 2) / 2 + np.mean(f**2) / 2,
    "hinge": lambda r, f: np.mean(np.maximum(0, 1 - r)) + np.mean(np.maximum(0, 1 + f)),
}
GENERATOR = {
    "log": lambda f: -np.mean(np.log(sigma(f))),
    "least_squares": lambda f: np.mean((f - 1) ** 2) / 2,
    "hinge": lambda f: -np.mean(f),
}


def logits(seed: int, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 4, shape))


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize(("real", "fake"), [((5, 1, 4, 3), (5, 1, 4, 3)), ((2, 1, 3, 3, 2), (6, 1)), ((1,), (7,))])
def test_against_the_formula(criterion: str, real: tuple[int, ...], fake: tuple[int, ...]) -> None:
    loss, r, f = AdversarialLoss(criterion), logits(0, real), logits(1, fake)
    np.testing.assert_allclose(
        loss.discriminator(r, f).item(), DISCRIMINATOR[criterion](r.numpy(), f.numpy()), rtol=1e-9
    )
    np.testing.assert_allclose(loss(f).item(), GENERATOR[criterion](f.numpy()), rtol=1e-9)
    assert loss(f).shape == loss.discriminator(r, f).shape == ()


LN2, LN4 = np.log(2), np.log(4)


@pytest.mark.parametrize(
    ("criterion", "real", "fake", "discriminator", "generator"),
    [
        ("log", [0.0], [0.0], 2 * LN2, LN2),
        ("log", [np.log(3)], [-np.log(3)], 2 * (LN4 - np.log(3)), LN4),  # sigma is 3/4 and 1/4
        ("least_squares", [1.0], [0.0], 0.0, 0.5),
        ("least_squares", [0.0, 2.0], [1.0, -3.0], 0.5 + 2.5, 4.0),
        ("hinge", [2.0, 0.5], [-2.0, 0.5], 0.25 + 0.75, 0.75),
        ("hinge", [1.0], [-1.0], 0.0, 1.0),
    ],
)
def test_by_hand(criterion: str, real: list[float], fake: list[float], discriminator: float, generator: float) -> None:
    loss = AdversarialLoss(criterion)
    assert loss.discriminator(torch.tensor(real), torch.tensor(fake)).item() == pytest.approx(discriminator, abs=1e-6)
    assert loss(torch.tensor(fake)).item() == pytest.approx(generator, abs=1e-6)


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("size", [200.0, -200.0])
def test_large_logits_stay_finite(criterion: str, size: float) -> None:
    """The logarithm of a logistic function that is 0 in float32 is minus infinity; here it is the logit."""
    loss = AdversarialLoss(criterion)
    real = torch.full((3,), size, requires_grad=True)
    fake = torch.full((3,), size, requires_grad=True)
    for value in (loss.discriminator(real, fake), loss(fake)):
        assert value.isfinite()
        value.backward()
        assert real.grad.isfinite().all()
        assert fake.grad.isfinite().all()
    if criterion == "log":
        assert loss.discriminator(real, fake).item() == pytest.approx(200)
        assert loss(fake).item() == pytest.approx(200 if size < 0 else 0, abs=1e-6)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_the_generator_learns_where_d_is_sure(criterion: str) -> None:
    """log(1 - sigma(f)), which the paper's G would minimise, has a gradient of 2e-9 here."""
    fake = torch.full((4,), -20.0, requires_grad=True)
    AdversarialLoss(criterion)(fake).backward()
    assert (fake.grad < -0.2).all()  # a descent raises the logits


def test_monais_hinge_is_another() -> None:
    """Why MONAI's loss is not used: a host image of logit 2 is beyond the hinge's margin and must cost nothing."""
    real, fake = torch.full((1, 1, 2, 2), 2.0), torch.full((1, 1, 2, 2), -2.0)
    assert AdversarialLoss("hinge").discriminator(real, fake).item() == 0
    monai = PatchAdversarialLoss(criterion="hinge")
    assert monai(real, target_is_real=True, for_discriminator=True).item() == pytest.approx(1 - np.tanh(2), abs=1e-6)


def test_refuses_another_criterion() -> None:
    with pytest.raises(ValueError, match=r"criterion.*'bce'.*log, least_squares, hinge"):
        AdversarialLoss("bce")


def test_docstring_example() -> None:
    result = doctest.testmod(importlib.import_module("fesf.networks.losses"))
    assert result.attempted > 0
    assert result.failed == 0
