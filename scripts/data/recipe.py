"""The recipe of a release: every choice that made its surrogates, checked before any image is read."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fesf.networks.surrogate import check_stage
from fesf.scripts.data.dicom_elements import DECISIONS
from fesf.scripts.data.dicom_image import require
from fesf.scripts.data.flags import flag
from fesf.scripts.data.intensity import check_rule
from fesf.scripts.data.provenance import versions
from fesf.scripts.data.spacing import check_spacing
from fesf.transforms.checks import check_alpha, check_beta

SOFTWARE = ("fesf", "monai", "torch", "numpy", "pillow", "nibabel", "pydicom", "pylibjpeg", "itk")
BIT_DEPTHS = (8, 16)
OUTPUTS = ("png", "nifti", "dicom")
DTYPE_MAXIMUM = "dtype maximum"
"""What ``release.json`` says of the intensity rule None."""
BAD_ROW_RULES = ("stop", "quarantine")


@dataclass(frozen=True)
class Recipe:
    """What the hospital chose for one release. It stays in the hospital: the store holds a commitment to it only.

    Args:
        release_id: name of the release: letters, digits, ``. _ -``. The ids in the store depend on it.
        alpha: half-width of the low-frequency band as a share of each axis, in [0, 0.5].
        beta: the plaintext's share of the amplitude, in [0, 1].
        second_alpha: alpha of the second pass; None for ``alpha`` where there is a second pass.
        second_beta: beta of the second pass; None for ``beta`` where there is a second pass.
        stage: "synthetic", "enhanced" or "surrogate"; None for "surrogate" with a generator, "synthetic" without.
        generator_sha256: digest of the generator's file; None for no generator.
        image_size: two or three lengths, at least 8, axes as MONAI's LoadImage gives them.
        intensity_range: how intensities become [0, 1]; see :mod:`fesf.scripts.data.intensity`.
        pixel_spacing: mm along each axis of ``image_size``, to which images are resampled before they are cropped or
            padded to ``image_size``; None resizes them to it.
        mask_text: whether text is looked for in the cohort's images and covered with black before hiding.
        output: "png", "nifti" or "dicom": what the store's files are; None for PNG in 2D and NIfTI in 3D. PNG and DICOM
            take two lengths of ``image_size`` only.
        bit_depth: 8 or 16 bits a pixel in the store's files.
        fractions: shares of the patients for training, validation and test.
        disclose_patients: whether the store says which images belong to one (pseudonymous) patient.
        hold_out_labels: whether the test labels stay in the hospital.
        on_bad_row: "stop" at a row that cannot be used, or "quarantine" it and go on.
        seed: draws the host and the splits.

    Raises:
        ValueError: naming the value and what it may be.
    """

    release_id: str
    alpha: float = 0.1
    beta: float = 0.5
    second_alpha: float | None = None
    second_beta: float | None = None
    stage: str | None = None
    generator_sha256: str | None = None
    image_size: Sequence[int] = (64, 64)
    intensity_range: Any = None
    pixel_spacing: Sequence[float] | None = None
    mask_text: bool = False
    output: str | None = None
    bit_depth: int = 8
    fractions: Sequence[float] = (0.7, 0.1, 0.2)
    disclose_patients: bool = False
    hold_out_labels: bool = False
    on_bad_row: str = "stop"
    seed: int = 0

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", str(self.release_id)):
            raise ValueError(f"release_id={self.release_id!r}: use up to 64 letters, digits, dots, '_' and '-'.")
        object.__setattr__(self, "release_id", str(self.release_id))
        object.__setattr__(self, "alpha", check_alpha(self.alpha))
        object.__setattr__(self, "beta", check_beta(self.beta))
        object.__setattr__(self, "stage", check_stage(self.stage, self.generator_sha256 is not None))
        self._check_second_pass()
        if isinstance(self.image_size, str) or not isinstance(self.image_size, Sequence):
            raise ValueError(f"image_size={self.image_size!r}: give a list such as [64, 64].")
        object.__setattr__(self, "image_size", tuple(self.image_size))
        if len(self.image_size) not in (2, 3) or not all(type(n) is int and n >= 8 for n in self.image_size):
            raise ValueError(
                f"image_size={list(self.image_size)}: give two or three whole lengths of at least 8, such as [64, 64]."
            )
        object.__setattr__(self, "intensity_range", check_rule(self.intensity_range))
        object.__setattr__(self, "pixel_spacing", check_spacing(self.pixel_spacing, len(self.image_size)))
        self._check_output()
        _choice("bit_depth", self.bit_depth, BIT_DEPTHS)
        _choice("on_bad_row", self.on_bad_row, BAD_ROW_RULES)
        for name in ("disclose_patients", "hold_out_labels", "mask_text"):
            object.__setattr__(self, name, flag(name, getattr(self, name)))
        if type(self.seed) is not int or self.seed < 0:
            raise ValueError(f"seed={self.seed!r}: give a whole number, 0 or more.")
        shares = self.fractions
        if (
            isinstance(shares, str)
            or not isinstance(shares, Sequence)
            or len(shares) != 3
            or abs(math.fsum(shares) - 1) > 1e-6
            or min(shares) <= 0
        ):
            raise ValueError(
                f"fractions={shares!r}: give three positive shares that sum to 1, such as [0.7, 0.1, 0.2]."
            )
        object.__setattr__(self, "fractions", tuple(float(share) for share in shares))

    def _check_output(self) -> None:
        """What the files are follows from the size where nothing is said; DICOM needs its extra."""
        if self.output is None:
            object.__setattr__(self, "output", "png" if len(self.image_size) == 2 else "nifti")
        _choice("output", self.output, OUTPUTS)
        if len(self.image_size) != 2 and self.output != "nifti":
            raise ValueError(f"output={self.output!r} takes two lengths of image_size: write volumes as 'nifti'.")
        if self.output == "dicom":
            require("highdicom")

    def _check_second_pass(self) -> None:
        """The second pass has its alpha and beta, other stages have none; a generator not used is not recorded."""
        if self.stage == "synthetic":
            object.__setattr__(self, "generator_sha256", None)
        for name, check in (("alpha", check_alpha), ("beta", check_beta)):
            value = getattr(self, f"second_{name}")
            if self.stage != "surrogate" and value is not None:
                raise ValueError(
                    f"second_{name}={value!r} describes a second pass, which stage {self.stage!r} does not make: leave"
                    " it null, or choose stage 'surrogate'."
                )
            if self.stage == "surrogate":
                object.__setattr__(self, f"second_{name}", check(getattr(self, name) if value is None else value))

    @property
    def spatial_size(self) -> tuple[int, ...]:
        """The image size as a tuple."""
        return tuple(self.image_size)

    @property
    def encoding(self) -> dict[str, Any]:
        """How the store's files hold an image, as the manifest says it.

        DICOM's ``PatientIdentityRemoved`` is "NO": only a release officer decides otherwise, after the audit.
        """
        decision = {"patient_identity_removed": DECISIONS[0]} if self.output == "dicom" else {}
        return {"type": self.output, "bits": self.bit_depth} | decision

    def _extras(self) -> tuple[str, ...]:
        """Distributions that took part in this release and do not in others."""
        dicom = ("highdicom",) if self.output == "dicom" else ()
        return (*dicom, "rapidocr-onnxruntime") if self.mask_text else dicom

    @property
    def software(self) -> dict[str, str]:
        """Versions here of what reads and hides images: others may round a float differently."""
        return versions((*SOFTWARE, *self._extras()))

    def document(self, host_sha256: str, secret: str, outcome: Mapping[str, Any]) -> dict[str, Any]:
        """The content of ``release.json``.

        Args:
            host_sha256: digest of the host's file.
            secret: "demo" or "own": whose the secret was, never the secret.
            outcome: counts, the clipped share and the result of the phase check.
        """
        rule = self.intensity_range
        scale = DTYPE_MAXIMUM if rule is None else list(rule) if isinstance(rule, tuple) else rule
        chosen = {name: value for name, value in asdict(self).items() if name not in ("intensity_range", "output")}
        return {
            **chosen,
            "intensity_rule": {"scale": scale, "colour": "ITU-R BT.601 luma", "resize": "area", "clip": [0, 1]},
            "encoding": self.encoding,
            "host_sha256": host_sha256,
            "secret": secret,
            "software": self.software,
            **outcome,
        }


def _choice(name: str, value: Any, allowed: tuple[Any, ...]) -> None:
    if value not in allowed or isinstance(value, bool):
        raise ValueError(f"{name}={value!r}: choose {' or '.join(map(str, allowed))}.")
