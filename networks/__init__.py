"""Networks of FESF: the hospital's pipeline as one module, its generator, the loss that trains it, classifiers."""

from fesf.networks.export import ExportableSurrogateNet
from fesf.networks.generator import EnhancementGenerator
from fesf.networks.losses import AdversarialLoss
from fesf.networks.surrogate import SurrogateNet
from fesf.networks.vit import ViTClassifier

__all__ = ["AdversarialLoss", "EnhancementGenerator", "ExportableSurrogateNet", "SurrogateNet", "ViTClassifier"]
