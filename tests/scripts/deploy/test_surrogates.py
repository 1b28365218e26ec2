"""What is taken for a surrogate, and everything that is not."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from pydicom.uid import ImplicitVRLittleEndian, generate_uid

from fesf.scripts.data import store
from fesf.scripts.data.dicom_elements import expected_elements, meta_information
from fesf.scripts.deploy import surrogates as module
from fesf.scripts.deploy.surrogates import (
    LoadImageSurrogate,
    SurrogateError,
    find_surrogates,
    own_file,
    read_surrogate,
)
from tests.scripts.deploy.conftest import SHAPE, identity, levels, surrogate
from tests.transforms.dicom_files import make_dicom

NAME = "SCHMIDT"


def saved(dataset: pydicom.Dataset, **encoding: bool) -> bytes:
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=False, **encoding)
    return buffer.getvalue()


def read(content: bytes) -> pydicom.Dataset:
    return pydicom.dcmread(io.BytesIO(content))


def changed(**values: object) -> bytes:
    dataset = read(surrogate(0))
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return saved(dataset)


def of_a_receiver(content: bytes) -> bytes:
    """Stored anew by pydicom, with a meta information of nobody's."""
    dataset = read(content)
    dataset.file_meta.ImplementationClassUID = generate_uid()
    dataset.file_meta.ImplementationVersionName = "A RECEIVER"
    dataset.file_meta.SourceApplicationEntityTitle = "SOMEBODY"
    dataset.preamble = b"II*\0" + bytes(124)
    return saved(dataset)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_surrogate_is_read_as_from_its_store(bits: int, tmp_path: Path) -> None:
    path = tmp_path / f"{identity(0)}.dcm"
    path.write_bytes(surrogate(0, bits=bits))
    found, image = read_surrogate(path)
    assert found == identity(0)
    stored = store.LoadImageStored("image")({"image": path})["image"]
    assert torch.equal(image.as_tensor(), stored.as_tensor())
    expected = levels(0, bits=bits).astype(np.float32) / np.float32(2**bits - 1)
    assert np.array_equal(image.numpy(), expected[None])


def test_the_meta_information_is_that_of_a_stores_file() -> None:
    content = surrogate(0)
    start = meta_information(identity(0))
    assert content.startswith(start)
    assert content[len(start) :].startswith(struct.pack("<HH", 8, 8))


def test_what_a_receiver_stored_becomes_the_stores_file_again() -> None:
    stored = of_a_receiver(surrogate(0))
    assert stored != surrogate(0)
    assert own_file(stored) == (identity(0), surrogate(0))


ELEMENTS = [name for name in expected_elements("", (1, 1), 8, "NO") if not name.startswith("0002") and "." not in name]


@pytest.mark.parametrize("name", ELEMENTS)
def test_each_element_is_needed(name: str) -> None:
    dataset = read(surrogate(0))
    del dataset[int(name, 16)]
    with pytest.raises(SurrogateError, match=r"other elements|SOP class"):
        own_file(saved(dataset))


OTHER = {
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1",
    "SOPInstanceUID": "1.2.3",
    "StudyInstanceUID": "1.2.3",
    "SeriesInstanceUID": "1.2.3",
    "PatientID": identity(1),
    "PatientName": NAME,
    "PatientBirthDate": "19500101",
    "PatientSex": "F",
    "StudyDate": "20260101",
    "StudyTime": "120000",
    "AccessionNumber": NAME,
    "ReferringPhysicianName": NAME,
    "StudyID": "2",
    "SeriesDescription": NAME,
    "DerivationDescription": NAME,
    "Manufacturer": NAME,
    "ImageType": "ORIGINAL\\PRIMARY",
    "Modality": "DX",
    "ConversionType": "DV",
    "PatientIdentityRemoved": "MAYBE",
    "PhotometricInterpretation": "MONOCHROME1",
    "SamplesPerPixel": 3,
    "BitsAllocated": 32,
    "BitsStored": 7,
    "PixelRepresentation": 1,
    "Rows": SHAPE[1] - 1,
    "Columns": SHAPE[0] + 1,
    "PixelData": bytes(8),
}


@pytest.mark.parametrize("keyword", OTHER)
def test_each_elements_value_is_checked(keyword: str) -> None:
    with pytest.raises(SurrogateError) as caught:
        own_file(changed(**{keyword: OTHER[keyword]}))
    assert NAME not in str(caught.value)


@pytest.mark.parametrize("keyword", ["InstitutionName", "StudyDescription", "NumberOfFrames", "PixelSpacing"])
def test_no_further_element_is_taken(keyword: str) -> None:
    value = {"NumberOfFrames": 1, "PixelSpacing": [1, 1]}.get(keyword, NAME)
    with pytest.raises(SurrogateError, match="other elements"):
        own_file(changed(**{keyword: value}))


def test_an_id_that_is_none_is_said() -> None:
    with pytest.raises(SurrogateError, match="PatientID is no keyed id"):
        own_file(changed(PatientID="Schmidt"))


def implicit() -> bytes:
    dataset = read(surrogate(0))
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return saved(dataset, implicit_vr=True, little_endian=True)


BYTES: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "no DICOM file"),
    "text": (lambda: b"SCHMIDT, ANNA" * 50, "no DICOM file"),
    "preamble alone": (lambda: surrogate(0)[:132], "explicit VR"),
    "no group length": (lambda: surrogate(0)[:132] + surrogate(0)[144:], "explicit VR"),
    "implicit": (implicit, "explicit VR, little endian"),
    "cut off": (lambda: surrogate(0)[:-5], "cut off"),
    "cut off early": (lambda: surrogate(0)[:300], "SOP class|cut off|explicit VR"),
    "more at the end": (lambda: surrogate(0) + b"\0\0", "cut off"),
    "a group length beyond the end": (
        lambda: surrogate(0)[:140] + struct.pack("<I", 2**31) + surrogate(0)[144:],
        "explicit VR",
    ),
}


@pytest.mark.parametrize("case", BYTES)
def test_other_bytes_are_refused(case: str) -> None:
    make, reason = BYTES[case]
    with pytest.raises(SurrogateError, match=reason):
        own_file(make())


def test_a_folder_is_listed_by_id_whatever_its_files_are_called(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"study {number % 2}").mkdir(exist_ok=True)
        (tmp_path / f"study {number % 2}" / f"IM{number}").write_bytes(of_a_receiver(surrogate(number)))
    (tmp_path / ".IM9.new").write_bytes(b"not yet complete")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "IM9").write_bytes(b"not looked at")
    items = find_surrogates(tmp_path)
    assert [item["id"] for item in items] == sorted(identity(number) for number in range(4))
    for item in items:
        assert read_surrogate(item["image"])[0] == item["id"]


def test_a_patients_image_among_surrogates_is_refused_by_its_number(surrogates: Path) -> None:
    make_dicom(surrogates / f"zz {NAME}.dcm", np.zeros((14, 18), np.uint8))
    with pytest.raises(SurrogateError) as caught:
        find_surrogates(surrogates)
    assert str(caught.value).startswith("File 7 of 7 (by name) is no surrogate: ")
    assert NAME not in str(caught.value)
    assert str(surrogates) not in str(caught.value)


@pytest.mark.skipif(os.name != "posix", reason="needs links and pipes")
@pytest.mark.parametrize("target", ["file", "folder", "pipe"])
def test_links_and_pipes_are_not_read(target: str, surrogates: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(surrogate(8))
    (tmp_path / "folder" / "file").write_bytes(surrogate(8))
    if target == "pipe":
        os.mkfifo(surrogates / "zz")
    else:
        (surrogates / "zz").symlink_to(tmp_path / target)
    with pytest.raises(SurrogateError, match=r"File 7 of 7 .* no plain file"):
        find_surrogates(surrogates)


def test_a_large_file_is_not_read(surrogates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST", 400)
    with pytest.raises(SurrogateError, match=r"File 1 of 6 .* larger than any surrogate"):
        find_surrogates(surrogates)


def test_one_surrogate_twice_is_refused(surrogates: Path) -> None:
    (surrogates / "zz.dcm").write_bytes(of_a_receiver(surrogate(2)))
    place = sorted(path.name for path in surrogates.iterdir()).index(f"{identity(2)}.dcm") + 1
    with pytest.raises(SurrogateError, match=rf"File 7 of 7 \(by name\) is the surrogate of file {place} again"):
        find_surrogates(surrogates)


def test_two_sizes_are_refused(surrogates: Path) -> None:
    (surrogates / "zz.dcm").write_bytes(surrogate(9, (14, 18)))
    with pytest.raises(SurrogateError, match=r"File 7 of 7 .* another size than file 1"):
        find_surrogates(surrogates)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SurrogateError, match="holds no file"):
        find_surrogates(tmp_path)


def test_a_file_that_was_replaced_is_seen(surrogates: Path) -> None:
    first, second = find_surrogates(surrogates)[:2]
    load = LoadImageSurrogate()
    assert load(first)["image"].shape == (1, *SHAPE)
    assert isinstance(first["image"], str), "the caller's item stays"
    os.replace(second["image"], first["image"])
    with pytest.raises(SurrogateError, match="replaced by another"):
        load(first)
