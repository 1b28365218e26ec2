"""What every inversion is judged by: PSNR over images that know nothing of the victim, and the diagnosis it shows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fesf.scripts.audit.scene import Floats, Images, Scene
from fesf.scripts.audit.score import Score

COMPONENTS = 50
"""Principal components of the pixels from which the plaintext-trained classifier reads a diagnosis."""


def psnr(made: Floats, truth: Floats) -> Floats:
    """Peak signal-to-noise ratio of each image in dB, at most 99; (N,)."""
    error = np.square(made - truth).mean((1, 2))
    return -10 * np.log10(np.maximum(error, 10**-9.9))


def adjusted(mean: Floats, truth: Floats) -> Floats:
    """The mean image with each victim's own mean and deviation: what brightness and contrast alone are worth."""
    unit = (mean - mean.mean()) / max(float(mean.std()), 1e-12)
    return unit * truth.std((1, 2), keepdims=True) + truth.mean((1, 2), keepdims=True)


def gain(made: Floats, mean: Floats, scene: Scene, details: Mapping[str, float] | None = None) -> Score:
    """Gain of reconstructions over the mean image; further figures beside it.

    Args:
        made: what the attacker sees of the victims, (N, H, W) in [0, 1].
        mean: the mean image that the attacker could name without the store, (H, W).
        scene: the release.
        details: of the attack.

    Returns:
        dB of each victim's image over the mean image. The details hold PSNR, the gain over the mean image with the
        victim's own mean and deviation, and :func:`diagnostic_auc`.
    """
    truth = scene.victims.plain
    found = psnr(made, truth)
    typical = psnr(np.broadcast_to(mean, truth.shape), truth)
    figures = {
        "psnr": float(found.mean()),
        "psnr_mean_image": float(typical.mean()),
        "gain_over_adjusted_mean": float((found - psnr(adjusted(mean, truth), truth)).mean()),
    }
    figures |= diagnostic_auc(scene.known, scene.victims, made) | dict(details or {})
    return Score(found - typical, scene.victims.patients, 0.0, details=figures)


def held(known: Images, pairs: int | None, seed: int) -> Images:
    """The true pairs that an attacker holds, drawn from those of all known patients.

    Args:
        known: all of them.
        pairs: how many; None for all.
        seed: draws them.

    Raises:
        ValueError: when fewer are known, or fewer than two.
    """
    if pairs is not None:
        if len(known) < pairs:
            raise ValueError(f"The release has {len(known)} pairs of known patients: {pairs} cannot be drawn.")
        known = known.take(np.sort(np.random.default_rng(seed).permutation(len(known))[:pairs]))
    if len(known) < 2:
        raise ValueError(f"The attacker knows {len(known)} pairs: inversion needs two or more.")
    return known


def diagnostic_auc(known: Images, victims: Images, made: Floats) -> dict[str, float]:
    """What a classifier that learnt from known patients' plaintexts reads in the victims' images.

    A logistic regression on principal components of the pixels: small, but the same one for plaintexts,
    surrogates and reconstructions. Brightness and contrast of each image are taken off first, in which surrogates
    and reconstructions differ from plaintexts as a whole.

    Args:
        known: images of other patients, with labels.
        victims: the victims' images.
        made: reconstructions of them, (N, H, W).

    Returns:
        Mean one-vs-rest AUC over the classes, for "auc_plaintext", "auc_surrogate" and "auc_reconstruction"; empty
        where labels of two classes are not known on both sides.
    """
    taught, judged = known.labels >= 0, victims.labels >= 0
    classes = np.unique(known.labels[taught])
    if len(classes) < 2 or set(np.unique(victims.labels[judged])) != set(classes):
        return {}
    model = make_pipeline(
        StandardScaler(),
        PCA(min(COMPONENTS, int(taught.sum()) - 1), random_state=0),
        LogisticRegression(C=0.1, max_iter=1000),
    ).fit(_pixels(known.plain[taught]), known.labels[taught])
    found, truth = {}, victims.labels[judged]
    for name, images in (("plaintext", victims.plain), ("surrogate", victims.seen), ("reconstruction", made)):
        likely = model.predict_proba(_pixels(images[judged]))
        each = [roc_auc_score(truth == label, likely[:, column]) for column, label in enumerate(classes)]
        found[f"auc_{name}"] = float(np.mean(each))
    return found


def _pixels(images: Floats) -> Floats:
    rows = images.reshape(len(images), -1)
    rows = rows - rows.mean(1, keepdims=True)
    return rows / np.maximum(rows.std(1, keepdims=True), 1e-12)
