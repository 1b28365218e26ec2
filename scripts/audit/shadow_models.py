"""Classifiers as the bundle trains them: what an attacker on a trained classifier makes for comparison."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.utils import set_determinism
from torch import nn

from fesf.scripts.audit.scene import Floats, Images, Integers
from fesf.scripts.data.run_folder import configs_folder

OVERFIT_EPOCHS = 40


def bundle_parser(classes: int, epochs: int | None = None) -> ConfigParser:
    """``train.json`` for 2D images of so many classes."""
    parser = ConfigParser()
    parser.read_config(str(configs_folder() / "train.json"))
    parser["spatial_dims"], parser["num_classes"] = 2, classes
    parser["device"] = torch.device("cpu")
    if epochs is not None:
        parser["epochs"] = epochs
    return parser


def train(images: Floats, labels: Integers, classes: int, seed: int, overfit: bool = False) -> nn.Module:
    """Train the bundle's classifier with its network, optimizer, schedule and length.

    Without its class weights, its choice of the best epoch and its random contrast; the noise is kept.

    Args:
        images: (N, H, W) in [0, 1].
        labels: class indices, (N,).
        classes: number of classes.
        seed: of weights, order and noise.
        overfit: train :data:`OVERFIT_EPOCHS` epochs, without noise and weight decay.

    Returns:
        The network, in evaluation mode.
    """
    set_determinism(seed)
    try:
        parser = bundle_parser(classes, OVERFIT_EPOCHS if overfit else None)
        if overfit:
            parser["weight_decay"] = 0.0
        network: nn.Module = parser.get_parsed_content("network")
        optimizer: Any = parser.get_parsed_content("optimizer")
        scheduler: Any = parser.get_parsed_content("lr_scheduler")
        noise = 0.0 if overfit else float(parser["noise"])
        data, truth = torch.from_numpy(images).float()[:, None], torch.from_numpy(labels)
        network.train()
        for _ in range(int(parser["epochs"])):
            for batch in torch.randperm(len(data)).split(int(parser["batch_size"])):
                if len(batch) == 1:  # batch normalisation needs two
                    continue
                optimizer.zero_grad()
                seen = data[batch] + noise * torch.randn(data[batch].shape)
                nn.functional.cross_entropy(network(seen), truth[batch]).backward()
                optimizer.step()
            scheduler.step()
        return network.eval()
    finally:
        set_determinism(None)


@torch.no_grad()
def confidence(network: nn.Module, images: Floats, labels: Integers) -> Floats:
    """Logit of the probability that a network gives to the true class, (N,): log p - log(1 - p).

    Source: Carlini et al., Membership Inference Attacks From First Principles, 2022, section IV.
    """
    outputs = torch.cat([network(part) for part in torch.from_numpy(images).float()[:, None].split(256)]).double()
    truth = torch.from_numpy(labels)[:, None]
    own = outputs.gather(1, truth)[:, 0]
    others = outputs.scatter(1, truth, -torch.inf).logsumexp(1)
    found: Floats = (own - others).numpy()
    return found


def labelled(known: Images, victims: Images) -> tuple[Floats, Integers, Integers]:
    """Images, labels and patients of both sides together, those without a label left out."""
    both = [images.take(np.flatnonzero(images.labels >= 0)) for images in (known, victims)]
    seen, labels, patients = (
        np.concatenate([getattr(part, name) for part in both]) for name in ("seen", "labels", "patients")
    )
    return seen, labels, patients
