"""Networks of FESF: the hospital's pipeline as one module."""

from fesf.networks.surrogate import SurrogateNet

__all__ = ["SurrogateNet"]
