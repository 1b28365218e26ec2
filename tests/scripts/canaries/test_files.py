"""The made-up export, read back by pydicom: each marker is in it, in its element, in every transfer syntax."""

from __future__ import annotations

import csv
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest

from fesf.scripts.canaries.elements import INVALID, dictionary
from fesf.scripts.canaries.files import Export, make_export, write_labels
from fesf.scripts.canaries.forms import text_forms
from fesf.scripts.canaries.search import Needles
from fesf.scripts.canaries.syntaxes import BORROWED, SYNTAXES
from fesf.transforms.dicom_reader import quiet

FILES = 30


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Export:
    folder = tmp_path_factory.mktemp("canaries")
    made = make_export(folder / "export", FILES, seed=3)
    write_labels(made, folder / "labels.csv")
    return made


@pytest.fixture(autouse=True)
def _without_warnings() -> Iterator[None]:
    with quiet():
        yield


def unpacked(path: Path) -> bytes:
    """A file's bytes, inflated where its transfer syntax is deflated."""
    content = path.read_bytes()
    if content[128:132] != b"DICM" or b"1.2.840.10008.1.2.1.99" not in content[:600]:
        return content
    start = 144 + int.from_bytes(content[140:144], "little")
    return content[:start] + zlib.decompress(content[start:], -zlib.MAX_WBITS)


def test_every_marker_is_in_the_export(export: Export) -> None:
    needles = Needles([(c, f, m.text, False) for m in export.mint.made for f, c in text_forms(m)])
    names = "\n".join(str(path.relative_to(export.folder)) for path in export.files).encode()
    contents = [names, (export.folder.parent / "labels.csv").read_bytes(), *map(unpacked, export.files)]
    found: set[str] = set()
    for content in contents:
        for start in range(0, len(content), 256):
            found |= {hit.what for hit in needles.scan(content[start : start + 384])}
    missing = [marker for marker in export.mint.made if marker.text not in found]
    assert {marker.where for marker in missing} <= {"compressed text chunk of a picture"}
    assert len(export.mint.made) > 100 * FILES


def test_every_transfer_syntax_decodes_to_the_pixels_that_are_searched(export: Export) -> None:
    arrays = {what: values for what, values, _ in export.arrays}
    seen = Counter[str]()
    for number, path in enumerate(export.files[: FILES - 8]):
        header = pydicom.dcmread(path)
        syntax = header.file_meta.TransferSyntaxUID
        seen[syntax] += 1
        if syntax in BORROWED:
            assert f"pixels of file {number}" not in arrays
            continue
        np.testing.assert_array_equal(header.pixel_array, arrays[f"pixels of file {number}"])
        assert header.overlay_array(0x6000).shape == (32, 64)
        icon = header.IconImageSequence[0]
        np.testing.assert_array_equal(
            np.frombuffer(icon.PixelData, np.uint8).reshape(32, 32), arrays[f"thumbnail of file {number}"]
        )
    assert set(seen) == {*SYNTAXES, *BORROWED}


def test_the_dictionarys_elements_and_the_invalid_values_all_occur(export: Export) -> None:
    present: set[int] = set()
    invalid: set[str] = set()
    for number, path in enumerate(export.files[:FILES]):
        header = pydicom.dcmread(path)
        present |= {int(element.tag) for element in header}
        name = INVALID[number % len(INVALID)][0]
        invalid.add(name)
        raw = header.get_item(name).value
        assert "QZ" in (raw.decode("latin-1") if isinstance(raw, bytes) else str(raw))
    assert present >= {tag for tag, _, _ in dictionary()}
    assert len(dictionary()) > 2000
    assert invalid == {name for name, _, _ in INVALID}


def test_nested_private_and_trailing_elements(export: Export) -> None:
    header = pydicom.dcmread(export.files[0])
    item, depth = header, 0
    while "ReferencedStudySequence" in item:
        item, depth = item.ReferencedStudySequence[0], depth + 1
        assert str(item.PatientName).startswith("QZ")
    assert depth == 4
    assert {int(element.tag.group) for element in header if element.tag.is_private} == {0x0029, 0x0143}
    assert header[0xFFFCFFFC].value.startswith(b"QZ")
    assert header[0x50003000].value.startswith(b"QZ")
    assert header.file_meta.SourceApplicationEntityTitle.startswith("QZ")


def test_pydicom_quotes_the_invalid_values(export: Export) -> None:
    """What the product must keep quiet: without that, the markers are in the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for path in export.files[:FILES]:
            header = pydicom.dcmread(path)
            for name, _, _ in INVALID:
                try:
                    header.get(name)
                except (ValueError, TypeError, OverflowError):
                    continue
    assert len({str(warning.message) for warning in caught if "QZ" in str(warning.message)}) >= 5


def test_labels_name_every_patient(export: Export) -> None:
    with open(export.folder.parent / "labels.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["patient"] for row in rows] == export.patients
    assert {row["label"] for row in rows} == {"absent", "present"}
    assert len(export.patients) == FILES // 2 + 2


def test_a_seed_repeats_the_markers(export: Export, tmp_path: Path) -> None:
    again = make_export(tmp_path / "again", FILES, seed=3)
    texts = [marker.text for marker in again.mint.made]
    assert texts == [marker.text for marker in export.mint.made][: len(texts)]
    assert [path.name for path in again.files] == [path.name for path in export.files]


def test_too_few_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="20 files: give 21 or more"):
        make_export(tmp_path / "export", 20)
