"""The strongest attack on each question, all stores beside each other: for the privacy page and the model card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fesf.scripts.audit.public_audit import ARMS
from fesf.scripts.audit.words import interval
from fesf.scripts.data.text_page import table

SHORT = {
    "same_image": "Is this very image in the store? (rank-1)",
    "nearest_neighbour_gallery": "Who is the patient, given other images of known persons? (rank-1)",
    "siamese_network_gallery": "Are these two images of one patient, by a trained network? (AUC)",
    "host_recovery": "Which image of the public pool is the host? (rank-1)",
    "amplitude_recovery_self_made": "Amplitudes in the band, host and recipe known (share recovered)",
    "amplitude_recovery_gateway_adaptive": "Amplitudes in the band, by asking the gateway (share recovered)",
    "ridge_inversion_pixels": "The image, by regression from all true pairs (dB above the mean image)",
    "unet_inversion": "The image, by a U-Net from all true pairs (dB above the mean image)",
    "unet_inversion_self_made": "The image, by a U-Net from pairs that the attacker makes (dB above the mean image)",
    "phase_retrieval_from_mean_image": "The image, by phase retrieval (dB above the mean image)",
    "membership": "Did this patient train the classifier? (AUC)",
    "attribute_inference": "An attribute of the patient (AUC)",
}
"""The attacks of the page's first table, and what each asks; all others are below."""


def short_table(sets: Mapping[str, Any]) -> str:
    """Markdown: a row a question, a column a store; what succeeded is bold, what does not count in brackets.

    Args:
        sets: of ``privacy.json``: by set and arm.
    """
    stores = [(f"{name}, {ARMS[arm]}", arms[arm]) for name, arms in sets.items() for arm in ARMS if arm in arms]
    rows = []
    for attack, question in SHORT.items():
        shown = [audit["results"][attack] for _, audit in stores if measured(audit, attack)]
        if shown:
            chance = ", ".join(dict.fromkeys(f"{result['conditions']['store']['chance']:.2f}" for result in shown))
            holds = ", ".join(shown[0]["letters"])
            rows.append([question, attack, holds, chance, *(_cell(audit, attack) for _, audit in stores)])
    return table(["", "attack", "attacker holds", "chance", *(title for title, _ in stores)], rows)


def _cell(audit: Mapping[str, Any], attack: str) -> str:
    text = store_cell(audit, attack) or "not measured"
    return f"**{text}**" if measured(audit, attack) and audit["results"][attack]["verdict"] == "succeeds" else text


def measured(audit: Mapping[str, Any], attack: str) -> bool:
    """Whether the attack was run on this store and could be measured there."""
    return bool(audit["results"].get(attack, {}).get("conditions"))


def store_cell(audit: Mapping[str, Any], attack: str) -> str:
    """What the attack got from the store, in brackets where it does not count; empty where it was not measured."""
    if not measured(audit, attack):
        return ""
    text = interval(audit["results"][attack]["conditions"]["store"])
    return f"({text})" if audit["results"][attack]["faults"] else text
