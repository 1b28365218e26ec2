"""Which images are taken, in which encodings: those that reading knows.

Deflated objects, which may unpack to any size, are not.
"""

from __future__ import annotations

_STORAGE = "1.2.840.10008.5.1.4.1.1."
IMAGES = (
    f"{_STORAGE}1",  # Computed Radiography
    f"{_STORAGE}1.1",  # Digital X-Ray, for presentation
    f"{_STORAGE}1.1.1",  # Digital X-Ray, for processing
    f"{_STORAGE}1.2",  # Digital Mammography, for presentation
    f"{_STORAGE}1.2.1",  # Digital Mammography, for processing
    f"{_STORAGE}2",  # CT
    f"{_STORAGE}4",  # MR
    f"{_STORAGE}6.1",  # Ultrasound
    f"{_STORAGE}7",  # Secondary Capture
)
IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"
SYNTAXES = (
    "1.2.840.10008.1.2.1",  # Explicit VR Little Endian
    IMPLICIT_LITTLE_ENDIAN,
    "1.2.840.10008.1.2.4.50",  # JPEG Baseline
    "1.2.840.10008.1.2.4.51",  # JPEG Extended
    "1.2.840.10008.1.2.4.57",  # JPEG Lossless
    "1.2.840.10008.1.2.4.70",  # JPEG Lossless SV1
    "1.2.840.10008.1.2.4.80",  # JPEG-LS Lossless
    "1.2.840.10008.1.2.4.81",  # JPEG-LS
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 Lossless
    "1.2.840.10008.1.2.4.91",  # JPEG 2000
    "1.2.840.10008.1.2.5",  # RLE Lossless
)
