"""Synthetic DICOM images for measurements: full-size radiographs and CT slices of nobody, and cohorts of them.

A radiograph is the film of a synthetic person (:mod:`fesf.scripts.data.phantom`) at its largest size, drawn larger,
with noise of its own in each pixel, so that lossless codecs shrink it to about 40 % of its 16 bits, as they do real
ones (our choice; a clean drawing would shrink to a few per cent, and decode faster).
"""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import zoom

from fesf.scripts.data.anatomy import SEXES, draw_anatomy
from fesf.scripts.data.phantom import MAX_SIZE, SITES, draw_view, render
from fesf.scripts.make_demo import make_demo

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

SIDES = ((2000, 2000), (2022, 2022), (2500, 2048), (2880, 2400), (3000, 2500), (3000, 3000))
"""Rows and columns of the radiographs, as detectors have them."""
CT_SIDES = ((512, 512),) * 6
NOISE = 10.0
"""Standard deviation of a pixel, in stored values."""
SYNTAXES = ("jpeg-2000", "jpeg-lossless", "rle", "uncompressed")
"""What an image can be stored as, without loss; the extra "hospital" brings no encoder for JPEG-LS."""


def draw_radiograph(seed: int, sides: Sequence[int]) -> NDArray[np.uint16]:
    """A radiograph of a synthetic person.

    Args:
        seed: fixes the person, the view and the noise.
        sides: rows and columns.

    Returns:
        Array of these sides, 12 bits: 0 to 4095.
    """
    rng = np.random.default_rng(seed)
    person = draw_anatomy(rng, SEXES[seed % len(SEXES)])
    film = render(person, draw_view(rng, SITES[seed % len(SITES)]), min(MAX_SIZE, max(sides)))
    large = zoom(film, [side / length for side, length in zip(sides, film.shape, strict=True)], order=1)
    noisy = 100.0 + 3900.0 * large + rng.normal(scale=NOISE, size=large.shape)
    return np.clip(np.rint(noisy), 0, 4095).astype(np.uint16)


def write_radiograph(path: str | Path, pixels: NDArray[np.uint16], syntax: str, number: int = 1) -> None:
    """Write 12-bit pixels as a DICOM file with a window, a pixel spacing and nobody's name.

    Args:
        path: the file.
        pixels: (rows, columns), 0 to 4095.
        syntax: one of :data:`SYNTAXES`. pydicom encodes JPEG 2000 (pylibjpeg-openjpeg) and RLE (pylibjpeg-rle), ITK
            JPEG Lossless (process 14, selection value 1; GDCM).
        number: makes the UIDs, which are made up.

    Raises:
        ValueError: for another syntax.
    """
    from pydicom.uid import JPEG2000Lossless, RLELossless

    if syntax not in SYNTAXES:
        raise ValueError(f"syntax={syntax!r}: choose {', '.join(SYNTAXES)}.")
    file = _dataset(pixels, number)
    if syntax == "jpeg-lossless":
        _compress_by_itk(file, pixels)
    elif syntax != "uncompressed":
        uid = JPEG2000Lossless if syntax == "jpeg-2000" else RLELossless
        file.compress(uid, encoding_plugin="pylibjpeg", generate_instance_uid=False)
    file.save_as(path, enforce_file_format=True)


def _dataset(pixels: NDArray[np.uint16], number: int) -> FileDataset:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.{number}.1.1")
    file = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    values: dict[str, Any] = {
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "StudyInstanceUID": f"1.2.3.{number}",
        "SeriesInstanceUID": f"1.2.3.{number}.1",
        "PatientID": f"SYNTHETIC-{number}",
        "Modality": "DX",
        "BurnedInAnnotation": "NO",
        "PixelSpacing": [0.14, 0.14],
        "WindowCenter": 2000,
        "WindowWidth": 4000,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
    }
    for name, value in values.items():
        setattr(file, name, value)
    file.add_new("PixelData", "OW", pixels.tobytes())
    return file


def _compress_by_itk(file: FileDataset, pixels: NDArray[np.uint16]) -> None:
    import itk
    from pydicom import dcmread

    writer = itk.GDCMImageIO.New()
    writer.SetCompressor("JPEG")  # lossless for whole numbers of 16 bits
    with tempfile.TemporaryDirectory() as folder:
        encoded = os.path.join(folder, "encoded.dcm")
        itk.imwrite(itk.image_from_array(pixels), encoded, imageio=writer, compression=True)
        made = dcmread(encoded)
    file.file_meta.TransferSyntaxUID = made.file_meta.TransferSyntaxUID
    file.add_new("PixelData", "OB", made.PixelData)
    file["PixelData"].is_undefined_length = True


def make_radiographs(folder: Path, syntax: str, sides: Sequence[Sequence[int]] = SIDES) -> list[Path]:
    """One file for each pair of sides, of another person each; see :func:`write_radiograph`."""
    folder.mkdir(parents=True)
    paths = []
    for number, pair in enumerate(sides):
        paths.append(folder / f"{number}.dcm")
        write_radiograph(paths[-1], draw_radiograph(number, pair), syntax, number + 1)
    return paths


def make_link_cohort(folder: Path, files: Sequence[Path], count: int, size: int) -> Path:
    """A demo cohort whose images are links to files, again and again: distinct rows without the cost of making them.

    Args:
        folder: to make; it gets the demo's hosts, secret and README.
        files: the images; of each the first frame is used.
        count: rows; patients have up to three.
        size: picture side of the hosts.

    Returns:
        Path of its ``cohort.csv``.
    """
    make_demo(folder, patients=2, size=size, hosts=8)
    for path in (folder / "images").iterdir():
        path.unlink()
    with open(folder / "cohort.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "label", "patient", "frame"))
        for number in range(count):
            link = folder / "images" / f"{number:06d}.dcm"
            link.symlink_to(files[number % len(files)].absolute())
            writer.writerow((f"images/{link.name}", number % 2, f"P{number // 3}", 0))
    return folder / "cohort.csv"
