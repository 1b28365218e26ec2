"""A surrogate as a DICOM Secondary Capture object: written by highdicom, reduced to an allow-list, read by pydicom."""

from __future__ import annotations

import io
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from monai.data import MetaTensor

from fesf.scripts.data.dicom_elements import (
    DECISIONS,
    DERIVATION,
    MANUFACTURER,
    PIXELS,
    SERIES_DESCRIPTION,
    dicom_fault,
    expected_elements,
    uid,
    walk,
)
from fesf.scripts.data.store_format import StoreError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def require(package: str) -> None:
    """Refuse to go on without a package of the extra ``dicom``.

    Raises:
        ValueError: when it is not installed.
    """
    if find_spec(package) is None:
        raise ValueError(f"DICOM surrogates need {package}, which is not installed: pip install 'fesf[dicom]'.")


def encode_dicom(values: np.ndarray, identity: str, identity_removed: str = "NO") -> bytes:
    """Grey levels as the bytes of a DICOM file, the same bytes at any time and for any user.

    The object holds :func:`fesf.scripts.data.dicom_elements.expected_elements` and nothing else: dates, times, versions
    and the contributing equipment, which highdicom adds, are left out. ``BurnedInAnnotation`` is left out too, which
    in DICOM says that text may be there: what is burned into a plaintext survives hiding. There is no pixel spacing:
    what a surrogate shows is the host, on which nothing of the patient can be measured.

    Args:
        values: (X, Y), uint8 or uint16, axes as MONAI's LoadImage gives them.
        identity: keyed id of the image, 32 hex digits.
        identity_removed: ``PatientIdentityRemoved``: "YES" only where a release officer decided so.

    Raises:
        ValueError: when highdicom is not installed.
        StoreError: when what was written is not what the allow-list says, as another version's might be.
    """
    if identity_removed not in DECISIONS:
        raise ValueError(f"identity_removed={identity_removed!r}: choose {' or '.join(DECISIONS)}.")
    require("highdicom")
    from pydicom import dcmwrite
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID

    bits = 8 * values.dtype.itemsize
    template = _template(values.shape, bits, identity_removed)
    image, image.file_meta = Dataset(), FileMetaDataset()
    image.preamble = template.preamble
    image.update(template)
    image.file_meta.update(template.file_meta)
    image.PatientID = identity
    image.StudyInstanceUID, image.SeriesInstanceUID = uid(identity, "study"), uid(identity, "series")
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = UID(uid(identity, "instance"))
    pixels = np.ascontiguousarray(values.T, f"<u{bits // 8}").tobytes()
    image.add_new(int(PIXELS, 16), "OB" if bits == 8 else "OW", pixels)
    buffer = io.BytesIO()
    dcmwrite(buffer, image, implicit_vr=False, little_endian=True, enforce_file_format=False)
    content = buffer.getvalue()
    if fault := dicom_fault(content, values.shape, bits, identity, identity_removed):
        raise StoreError(
            f"The DICOM object is not what the allow-list says ({fault}): install the versions of constraints.txt."
        )
    return content


@lru_cache(maxsize=8)
def _template(spatial_size: tuple[int, int], bits: int, identity_removed: str) -> Dataset:
    """What highdicom makes of an empty image, reduced to the allow-list; nothing of any patient passes here."""
    from highdicom.sc import SCImage
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.sr.codedict import codes
    from pydicom.uid import ExplicitVRLittleEndian

    image = SCImage(
        pixel_array=np.zeros(spatial_size[::-1], f"uint{bits}"),
        photometric_interpretation="MONOCHROME2",
        bits_allocated=bits,
        coordinate_system="PATIENT",
        study_instance_uid=uid("", "study"),
        series_instance_uid=uid("", "series"),
        series_number=1,
        sop_instance_uid=uid("", "instance"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        study_id="1",
        series_description=SERIES_DESCRIPTION,
        patient_orientation=("L", "P"),  # highdicom wants one; emptied below: no direction is known
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    image.ConversionType = "SYN"
    image.DerivationDescription = DERIVATION
    image.PatientOrientation, image.Laterality = [], ""
    image.PatientIdentityRemoved = identity_removed
    image.DeidentificationMethodCodeSequence = [_code(codes.cid7050.BasicApplicationConfidentialityProfile)]
    image.LongitudinalTemporalInformationModified = "REMOVED"
    allowed = expected_elements("", spatial_size, bits, identity_removed)
    kept, kept.file_meta = Dataset(), FileMetaDataset()
    kept.preamble = image.preamble
    for source, target in ((image, kept), (image.file_meta, kept.file_meta)):
        target.update({element.tag: element for element in source if f"{int(element.tag):08X}" in allowed})
    return kept


def _code(code: Any) -> Dataset:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item


def decode_dicom(content: bytes) -> MetaTensor:
    """The inverse of :func:`encode_dicom`.

    Returns:
        MetaTensor (1, X, Y), float32 in [0, 1], the values that a PNG of the same grey levels gives; the affine is the
        identity.

    Raises:
        ValueError: when pydicom is not installed.
        StoreError: when it is no surrogate's file: a patient's DICOM image is refused.
    """
    require("pydicom")
    from fesf.transforms.dicom_reader import DicomError, read_dicom

    try:
        names = [name for name, _, _ in walk(content)]
    except ValueError:
        names = []
    if names != list(expected_elements("", (1, 1), 8, "NO")):
        raise StoreError("A DICOM file is no surrogate: it holds other elements than hide.json writes.")
    try:
        image = read_dicom(io.BytesIO(content))
    except DicomError as error:
        raise StoreError(f"A DICOM surrogate is broken: {error}.") from None
    return MetaTensor(image.as_tensor()[..., 0].contiguous(), affine=torch.eye(4, dtype=torch.float64))
