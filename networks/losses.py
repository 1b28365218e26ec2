"""The adversarial loss of the Image Quality Enhancement Module (arXiv 2403.16473, L_GAN) and its usual variants."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import relu, softplus

__all__ = ["CRITERIA", "AdversarialLoss"]

CRITERIA = ("log", "least_squares", "hinge")


class AdversarialLoss(nn.Module):
    """Loss of D and of G from D's logits; with ``sigma`` the logistic function, r = D(k) and f = D(G(s))::

        criterion      D minimises                              G minimises
        log            E[-log sigma(r)] + E[-log(1-sigma(f))]   E[-log sigma(f)]
        least_squares  E[(r - 1)^2] / 2 + E[f^2] / 2            E[(f - 1)^2] / 2
        hinge          E[max(0, 1 - r)] + E[max(0, 1 + f)]      E[-f]

    ``log`` is the paper's L_GAN for D; G takes its non-saturating form (Goodfellow et al. 2014, our choice), since
    log(1 - sigma(f)) has no gradient where D is sure. ``least_squares`` is Mao et al. 2017, ``hinge`` Lim and Ye 2017.
    MONAI 1.6.1's PatchAdversarialLoss is not used: its "bce" fails and its "hinge" puts a tanh first.

    Args:
        criterion: "log", "least_squares" or "hinge".

    Raises:
        ValueError: for another criterion.

    Shape:
        - Input: logits of any shape, one of each patch
        - Output: scalar, the mean over all of them

    Examples:
        >>> import torch
        >>> loss = AdversarialLoss("hinge")
        >>> loss.discriminator(torch.tensor([0.5]), torch.tensor([-2.0])).item(), loss(torch.tensor([2.0])).item()
        (0.5, -2.0)
    """

    def __init__(self, criterion: str = "least_squares") -> None:
        super().__init__()
        if criterion not in CRITERIA:
            raise ValueError(f"criterion={criterion!r}: choose {', '.join(CRITERIA)}.")
        self.criterion = criterion

    def forward(self, fake: Tensor) -> Tensor:
        """Return what G minimises, from D's logits of its images."""
        if self.criterion == "log":
            return softplus(-fake).mean()
        return (fake - 1).square().mean() / 2 if self.criterion == "least_squares" else -fake.mean()

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return what D minimises, from its logits of host images and of G's images."""
        if self.criterion == "log":
            return softplus(-real).mean() + softplus(fake).mean()
        if self.criterion == "least_squares":
            return ((real - 1).square().mean() + fake.square().mean()) / 2
        return relu(1 - real).mean() + relu(1 + fake).mean()
