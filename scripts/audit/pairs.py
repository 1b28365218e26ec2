"""Pairs of images that a verifier compares: of other studies, of the same label, each patient weighing the same."""

from __future__ import annotations

import numpy as np

from fesf.scripts.audit.nearest import candidates, match
from fesf.scripts.audit.ranking import Ranking, shares
from fesf.scripts.audit.scene import Floats, Images, Integers
from fesf.scripts.audit.score import Score

TOO_FEW = "No test patient has two studies of one label: this set cannot measure re-identification."


def verification_pairs(likeness: Floats, images: Images, once: bool = False) -> Ranking:
    """All pairs that :func:`fesf.scripts.audit.nearest.candidates` allows, as a ranking.

    Args:
        likeness: of each image as it is seen to each image of the gallery, (N, N).
        images: whose they are.
        once: count a pair in one direction, where the gallery is the store itself.

    Returns:
        Pairs of one patient weigh one together, and so do those of two.

    Raises:
        ValueError: when no patient has two studies of one label, or nobody else has that label.
    """
    allowed, own = candidates(images)
    allowed = np.triu(allowed) if once else allowed
    rows, columns = np.nonzero(allowed)
    first, second = images.patients[rows], images.patients[columns]
    if not own.any() or own[allowed].all():
        raise ValueError(TOO_FEW)
    pair = np.minimum(first, second) * (int(images.patients.max()) + 1) + np.maximum(first, second)
    return Ranking(likeness[rows, columns], own[rows, columns], first, second, shares(pair))


def rank_1(likeness: Floats, images: Images) -> tuple[float, float]:
    """How often the most alike image is of the probe's patient, mean over patients, and what guessing gives."""
    allowed, own = candidates(images)
    probes = np.flatnonzero(own.any(1))
    hits, share = match(likeness[probes], allowed[probes], own[probes])
    patients = images.patients[probes]
    mean_hits, mean_share = (Score(values, patients, 0.0).by_patient().mean() for values in (hits, share))
    return float(mean_hits), float(mean_share)


def halves(images: Images, seed: int) -> tuple[list[Integers], list[Integers], Integers, Integers]:
    """Who has two studies of one label, with half of these studies on either side.

    Args:
        images: of some patients.
        seed: draws the halves.

    Returns:
        Positions of each one's images on one side and on the other; the patients, and the labels, (G,).
    """
    rng = np.random.default_rng(seed)
    here, there, whose = [], [], []
    for patient, label in sorted(set(zip(images.patients.tolist(), images.labels.tolist(), strict=True))):
        mine = (images.patients == patient) & (images.labels == label)
        studies = rng.permutation(np.unique(images.studies[mine]))
        if len(studies) < 2:
            continue
        one = np.isin(images.studies, studies[: len(studies) // 2])
        here.append(np.flatnonzero(mine & one))
        there.append(np.flatnonzero(mine & ~one))
        whose.append((patient, label))
    patients, labels = np.array(whose, dtype=np.int64).reshape(-1, 2).T
    return here, there, patients, labels


def pooled_by_patient(probes: Floats, gallery: Floats, images: Images, seed: int = 0) -> dict[str, float]:
    """Verification AUC and rank-1 of somebody who knows which images are one patient's, and pools them.

    Args:
        probes: a vector of unit length for each image as it is seen, (N, F).
        gallery: the same for the images of the gallery, (N, F).
        images: whose they are.
        seed: draws which studies are on which side.
    """
    here, there, patients, labels = halves(images, seed)
    if len(patients) < 2:
        return {}
    left, right = (
        np.stack([vectors[index].mean(0) for index in side]) for vectors, side in ((probes, here), (gallery, there))
    )
    unit = [side / np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-12) for side in (left, right)]
    likeness = unit[0] @ unit[1].T
    same = labels[:, None] == labels
    own = patients[:, None] == patients
    alone = (same & ~own).any(1)
    if not alone.any():
        return {}
    rows, columns = np.nonzero(same)
    ranking = Ranking(
        likeness[rows, columns], own[rows, columns], patients[rows], patients[columns], np.ones(len(rows))
    )
    whole = np.ones((1, int(patients.max()) + 1))
    hits, share = match(likeness[alone], same[alone], (same & own)[alone])
    return {
        "auc_pooled": float(ranking.areas(whole)[0]),
        "rank_1_pooled": float(hits.mean()),
        "rank_1_pooled_chance": float(share.mean()),
        "patients_pooled": float(len(np.unique(patients))),
    }
