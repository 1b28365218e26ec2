"""Which attacks an audit runs."""

from __future__ import annotations

from fesf.scripts.audit.amplitude import AmplitudeRecovery
from fesf.scripts.audit.amplitude_differences import AmplitudeDifferences
from fesf.scripts.audit.attack import Attack
from fesf.scripts.audit.attribute_inference import AttributeInference
from fesf.scripts.audit.burned_in_text import BurnedInText
from fesf.scripts.audit.chosen_plaintexts import ChosenPlaintexts
from fesf.scripts.audit.host_recovery import HostRecovery
from fesf.scripts.audit.membership import Membership
from fesf.scripts.audit.nearest import GatewayNeighbour, NearestNeighbour
from fesf.scripts.audit.onlooker import Onlooker
from fesf.scripts.audit.phase_retrieval import PhaseRetrieval
from fesf.scripts.audit.ridge import RidgeInversion
from fesf.scripts.audit.same_image import SameImage
from fesf.scripts.audit.self_made_amplitude import SelfMadeAmplitude
from fesf.scripts.audit.siamese import SiameseNetwork
from fesf.scripts.audit.simulation import AdaptiveQueries, StolenGenerator
from fesf.scripts.audit.stolen_generator import HostThroughGenerator, StolenUNetInversion
from fesf.scripts.audit.unet import SelfMadeUNetInversion, UNetInversion

QUICK: dict[str, Attack] = {
    "onlooker": Onlooker(),
    "same_image": SameImage(),
    "host_recovery": HostRecovery(),
    "amplitude_recovery": AmplitudeRecovery(),
    "amplitude_recovery_self_made": SelfMadeAmplitude(),
    "amplitude_differences": AmplitudeDifferences(),
    "ridge_inversion_pixels": RidgeInversion(features="pixels"),
    "ridge_inversion_log_amplitude": RidgeInversion(features="log amplitude"),
    "nearest_neighbour_gallery": NearestNeighbour(gallery="plaintext"),
    "nearest_neighbour_store": NearestNeighbour(gallery="store"),
    "nearest_neighbour_other_release": NearestNeighbour(gallery="other release"),
}
"""Minutes on two cores for the demo; names are those that limits.json may limit."""

FULL: dict[str, Attack] = {
    "amplitude_recovery_gateway_1": ChosenPlaintexts(queries=1),
    "amplitude_recovery_gateway_2": ChosenPlaintexts(queries=2),
    "amplitude_recovery_gateway_8": ChosenPlaintexts(queries=8),
    "amplitude_recovery_gateway": ChosenPlaintexts(),
    "amplitude_recovery_gateway_adaptive": AdaptiveQueries(),
    "amplitude_recovery_stolen_generator": StolenGenerator(),
    "host_recovery_stolen_generator": HostThroughGenerator(),
    "nearest_neighbour_gateway": GatewayNeighbour(),
    "attribute_inference": AttributeInference(),
    "burned_in_text": BurnedInText(),
    "membership": Membership(),
    "phase_retrieval": PhaseRetrieval(),
    "phase_retrieval_from_mean_image": PhaseRetrieval(start="mean"),
    "ridge_inversion_pixels_10": RidgeInversion(features="pixels", pairs=10),
    "ridge_inversion_pixels_100": RidgeInversion(features="pixels", pairs=100),
    "ridge_inversion_log_amplitude_10": RidgeInversion(features="log amplitude", pairs=10),
    "ridge_inversion_log_amplitude_100": RidgeInversion(features="log amplitude", pairs=100),
    "siamese_network_gallery": SiameseNetwork(gallery="plaintext"),
    "siamese_network_store": SiameseNetwork(gallery="store"),
    "siamese_network_other_release": SiameseNetwork(gallery="other release"),
    "unet_inversion": UNetInversion(),
    "unet_inversion_10": UNetInversion(pairs=10),
    "unet_inversion_100": UNetInversion(pairs=100),
    "unet_inversion_self_made": SelfMadeUNetInversion(),
    "unet_inversion_stolen_generator": StolenUNetInversion(),
}
"""What a whole audit runs beside ``QUICK``: from minutes to hours each."""
