"""What the audit's page shows of an attack beside its scores; in part plaintext pixels, for the hospital alone."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score, roc_curve

from fesf.scripts.audit.claims import linked
from fesf.scripts.audit.scene import Floats, Scene
from fesf.scripts.audit.score import Score
from fesf.scripts.data.pictures import middle_slice, to_png

POINTS = 200
"""Points of a ROC curve at most."""


def exhibits(attack: Any, fitted: Any, scene: Scene, score: Any, seed: int = 0) -> dict[str, Any]:
    """What an attack can show of a release, by the methods that it has.

    Args:
        attack: an attack; ``reconstruct(fitted, scene)`` gives images (N, H, W), ``claims(fitted, scene)`` what
            :func:`fesf.scripts.audit.claims.linked` counts, ``verification(fitted, scene)`` for pairs whether they are
            of one patient and how alike they look, (P,) each.
        fitted: what it learnt.
        scene: the release.
        score: what it got.
        seed: of what is drawn.

    Returns:
        ``{"pictures": [...], "linked": {...}, "roc": {...}}``, what there is of it.
    """
    found: dict[str, Any] = {}
    if hasattr(attack, "reconstruct"):
        found["pictures"] = reconstructions(attack.reconstruct(fitted, scene), scene, score)
    if hasattr(attack, "claims"):
        found["linked"] = linked(attack, fitted, scene, seed)
    if hasattr(attack, "verification"):
        found["roc"] = roc(*attack.verification(fitted, scene))
    return found


def reconstructions(made: Floats, scene: Scene, score: Score) -> list[dict[str, Any]]:
    """Best, median and worst image by the attack's own score, as PNG in base64.

    Args:
        made: what the attacker sees, (N, H, W), one for each victim's image.
        scene: the release.
        score: its values say which image is best.
    """
    order = np.argsort(-score.values, kind="stable")
    places = {"best": order[0], "median": order[len(order) // 2], "worst": order[-1]}
    images = {"truth": scene.victims.plain, "surrogate": scene.victims.seen, "reconstruction": made}
    mean = picture(scene.known.plain.mean(0)) if len(scene.known) else None
    return [
        {"which": which, "value": float(score.values[place]), "mean": mean}
        | {name: picture(values[place]) for name, values in images.items()}
        for which, place in places.items()
    ]


def picture(image: Floats) -> str:
    """An image (H, W) in [0, 1] as PNG in base64."""
    return base64.b64encode(to_png(middle_slice(image), least_side=1)).decode()


def roc(same: Any, likeness: Any) -> dict[str, Any]:
    """Points of the ROC curve of a verifier, and the area under it.

    Args:
        same: whether a pair is of one patient, (P,), both kinds present.
        likeness: how alike it looks, (P,).
    """
    false, true, _ = roc_curve(same, likeness)
    kept = np.unique(np.linspace(0, len(false) - 1, min(POINTS, len(false))).round().astype(int))
    return {"false": false[kept].tolist(), "true": true[kept].tolist(), "auc": float(roc_auc_score(same, likeness))}
