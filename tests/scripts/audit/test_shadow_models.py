"""Shadow classifiers: the bundle's own settings, the same again for a seed, and confidences by hand."""

from __future__ import annotations

import json

import numpy as np
import torch
from torch import nn

from fesf.scripts.audit.scene import Images
from fesf.scripts.audit.shadow_models import OVERFIT_EPOCHS, bundle_parser, confidence, labelled, train
from fesf.scripts.data.run_folder import configs_folder


def striped(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of two classes, stripes down or across, with noise."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    stripes = np.tile(np.arange(32) // 4 % 2, (32, 1)).astype(float)
    images = np.where(labels[:, None, None] == 1, stripes, stripes.T) * 0.5 + 0.5 * rng.random((count, 32, 32))
    return images, labels


def test_settings_are_the_bundles() -> None:
    own = json.loads((configs_folder() / "train.json").read_text())
    parser = bundle_parser(3)
    assert (parser["epochs"], parser["learning_rate"]) == (own["epochs"], own["learning_rate"])
    assert parser.get_parsed_content("network")(torch.zeros(2, 1, 32, 32)).shape == (2, 3)
    assert bundle_parser(2, OVERFIT_EPOCHS)["epochs"] == OVERFIT_EPOCHS > own["epochs"]


def test_a_classifier_learns_and_a_seed_gives_the_same() -> None:
    images, labels = striped(129)  # one more than four batches: the last alone is left out
    first, second, other = (train(images, labels, 2, seed) for seed in (1, 1, 2))
    weights = [next(network.parameters()).detach() for network in (first, second, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert (confidence(first, images, labels) > 0).mean() > 0.9
    assert not first.training


def test_an_overfitted_one_is_surer_of_random_labels() -> None:
    images = np.random.default_rng(0).random((24, 32, 32))
    labels = np.random.default_rng(1).integers(0, 2, 24)
    usual, overfit = (train(images, labels, 2, 0, overfit) for overfit in (False, True))
    assert confidence(overfit, images, labels).mean() > confidence(usual, images, labels).mean() + 1


def test_confidence_by_hand() -> None:
    class Fixed(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.log(torch.tensor([[0.2, 0.5, 0.3]])).expand(len(images), 3)

    found = confidence(Fixed(), np.zeros((2, 8, 8)), np.array([1, 0]))
    np.testing.assert_allclose(found, [0.0, np.log(0.2 / 0.8)], atol=1e-6)


def test_images_without_a_label_are_left_out() -> None:
    def side(labels: list[int], first: int) -> Images:
        plain = np.full((len(labels), 4, 4), float(first))
        return Images(plain, plain, np.array(labels), np.arange(len(labels)) + first, np.arange(len(labels)) + first)

    seen, labels, patients = labelled(side([0, -1, 1], 0), side([-1, 1], 5))
    assert labels.tolist() == [0, 1, 1]
    assert patients.tolist() == [0, 2, 6]
    assert seen[:, 0, 0].tolist() == [0.0, 0.0, 5.0]
