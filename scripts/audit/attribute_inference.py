"""Attribute inference: what a surrogate says of its patient beside the diagnosis, such as sex, age or site."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from fesf.scripts.audit.scene import Floats, Images, Integers, Scene
from fesf.scripts.audit.score import Score, placements
from fesf.scripts.audit.spectra import log_amplitude

FEATURES = ("log amplitude", "pixels")
COMPONENTS, FOLDS, LEAST = 60, 3, 8
"""Principal components of the pixels; folds by patient; patients of each answer without whom nothing is asked."""
NO_ATTRIBUTE = (
    f"The cohort has no attribute column with {LEAST} known and {LEAST} attacked patients of each of two answers: this"
    " set cannot measure attribute inference."
)


@dataclass(frozen=True)
class Reader:
    """What tells an answer: trained on the known patients.

    Args:
        features: one of :data:`FEATURES`.
        model: gives a decision value.
        auc: on known patients that it was not trained on, by folds.
    """

    features: str
    model: Pipeline
    auc: float

    def decide(self, images: Floats, alpha: float) -> Floats:
        """Decision values, (N,); larger is more likely 1."""
        found: Floats = self.model.decision_function(features_of(images, alpha, self.features))
        return found


def features_of(images: Floats, alpha: float, kind: str) -> Floats:
    """Features of images (N, H, W), (N, F)."""
    return log_amplitude(images, alpha) if kind == FEATURES[0] else images.reshape(len(images), -1)


def best_reader(images: Floats, answers: Integers, patients: Integers, alpha: float) -> Reader:
    """The better of both features, by folds over patients."""
    readers = []
    for kind in FEATURES:
        features = features_of(images, alpha, kind)
        reduce = [PCA(min(COMPONENTS, len(images) // 2), random_state=0)] if kind == "pixels" else []
        model = make_pipeline(StandardScaler(), *reduce, LogisticRegression(C=0.1, max_iter=1000))
        values = cross_val_predict(
            model, features, answers, groups=patients, cv=GroupKFold(FOLDS), method="decision_function"
        )
        readers.append(Reader(kind, model, float(roc_auc_score(answers, values))))
    best = max(readers, key=lambda reader: reader.auc)
    best.model.fit(features_of(images, alpha, best.features), answers)
    return best


def enough(images: Images, answers: Integers) -> bool:
    """Whether each answer has enough patients."""
    return all(len(np.unique(images.patients[answers == answer])) >= LEAST for answer in (0, 1))


def asked(scene: Scene) -> dict[str, Images]:
    """By attribute with enough patients on both sides, the known images of those whose answer is known."""
    found = {}
    for name in scene.known.attributes:
        known, victims = (
            images.take(np.flatnonzero(images.attributes[name] >= 0)) for images in (scene.known, scene.victims)
        )
        if enough(known, known.attributes[name]) and enough(victims, victims.attributes[name]):
            found[name] = known
    return found


@dataclass(frozen=True)
class AttributeInference:
    """Somebody with true pairs of known persons, who learns to tell an attribute from surrogates.

    The attribute is the one that is read best from the known patients' plaintexts, so it is the same for all controls;
    what is read of each other one stands in the details.

    Args:
        attribute: the one to be told; None: :meth:`prepared` chooses it.
    """

    name: ClassVar[str] = "attribute inference"
    letters: ClassVar[tuple[str, ...]] = ("a", "d")
    finding: ClassVar[str] = "inference"
    measure: ClassVar[str] = "AUC of the attribute that plaintexts tell best"
    broken: ClassVar[str] = "additive mixing"
    margin: ClassVar[float] = 0.07
    permutations: ClassVar[int] = 10
    attribute: str | None = None

    def prepared(self, scene: Scene) -> AttributeInference:
        """The attack on the attribute that a release's plaintexts tell best.

        Raises:
            ValueError: when the cohort has no attribute with enough patients of either answer.
        """
        told = {
            name: best_reader(known.plain, known.attributes[name], known.patients, scene.alpha).auc
            for name, known in asked(scene).items()
        }
        if not told:
            raise ValueError(NO_ATTRIBUTE)
        return replace(self, attribute=max(told, key=lambda name: told[name]))

    def fit(self, scene: Scene) -> dict[str, Reader]:
        """A reader for each attribute.

        Raises:
            ValueError: when the attribute that is to be told has not enough patients of either answer.
        """
        readers = {
            name: best_reader(known.seen, known.attributes[name], known.patients, scene.alpha)
            for name, known in asked(scene).items()
        }
        if self.attribute not in readers:
            raise ValueError(NO_ATTRIBUTE)
        return readers

    def score(self, fitted: dict[str, Reader], scene: Scene) -> Score:
        """How well the attribute is told on the victims."""
        details, scores = {}, {}
        for name, reader in fitted.items():
            answers = scene.victims.attributes[name]
            victims = scene.victims.take(np.flatnonzero(answers >= 0))
            found = placements(reader.decide(victims.seen, scene.alpha), victims.attributes[name])
            scores[name] = (found, victims.patients)
            details[f"auc {name}"] = float(
                roc_auc_score(victims.attributes[name], reader.decide(victims.seen, scene.alpha))
            )
        return Score(*scores[str(self.attribute)], 0.5, 1.0, details)
