"""DICOM files for the tests: small ones made from scratch, and the real ones that pydicom's wheel ships."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

SHIPPED = Path(os.path.dirname(pydicom.__file__)) / "data" / "test_files"
"""Real files in pydicom's wheel: no download."""


def make_dicom(path: Path, pixels: np.ndarray, syntax: str = ExplicitVRLittleEndian, **values: Any) -> FileDataset:
    """Write a monochrome CT slice (rows, columns) or frames (frames, rows, columns), uint16 or int16; returns it.

    Args:
        path: the file.
        pixels: what is stored.
        syntax: transfer syntax, not a compressed one.
        values: attributes beyond the usual; a value of None removes one.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.TransferSyntaxUID = syntax
    file = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    usual: dict[str, Any] = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": generate_uid(),
        "StudyInstanceUID": "1.2.3.1",
        "SeriesInstanceUID": "1.2.3.1.1",
        "PatientID": "SCHMIDT-1",
        "PatientName": "Schmidt^Anna",
        "Modality": "CT",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": pixels.shape[-2],
        "Columns": pixels.shape[-1],
        "BitsAllocated": 8 * pixels.itemsize,
        "BitsStored": 8 * pixels.itemsize,
        "HighBit": 8 * pixels.itemsize - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "NumberOfFrames": pixels.shape[0] if pixels.ndim == 3 else None,
    }
    for name, value in (usual | values).items():
        if value is not None:
            setattr(file, name, value)
    meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID
    file.add_new("PixelData", "OW", np.ascontiguousarray(pixels).tobytes())
    file.save_as(path, enforce_file_format=True)
    return file


def make_series(folder: Path, volume: np.ndarray, gap: float = 2.0, **values: Any) -> list[Path]:
    """Write a series of slices (slices, rows, columns) whose names and instance numbers run against their positions."""
    folder.mkdir(parents=True, exist_ok=True)
    count = len(volume)
    paths = []
    for index, pixels in enumerate(volume):
        paths.append(folder / f"IM{count - index:04d}")
        place = {
            "ImagePositionPatient": [1.0, 2.0, gap * index],
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "PixelSpacing": [0.5, 0.75],
            "InstanceNumber": count - index,
        }
        make_dicom(paths[-1], pixels, **(place | values))
    return paths
