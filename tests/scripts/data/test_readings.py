"""What an interrupted run has read: it counts for the same file, source, limits and software only."""

from __future__ import annotations

import os
from pathlib import Path

from fesf.scripts.data.inspection import Finding
from fesf.scripts.data.readings import Readings

FOUND = Finding("", "dicom", "P", "1.2", "1.3", "1.4", (True, False), "ab", True, ("burned-in-text",))
SETTINGS = {"source": "/export", "memory": 5}


def kept(folder: Path, finding: Finding = FOUND) -> tuple[Path, str]:
    image = folder / "Jürgen.dcm"
    image.write_bytes(b"1234")
    path = folder / "c.csv.unfinished"
    readings = Readings(path, SETTINGS)
    readings.start()
    readings.add(image.name, str(image), finding)
    return path, str(image)


def test_a_finding_comes_back_whole(tmp_path: Path) -> None:
    path, image = kept(tmp_path)
    again = Readings(path, SETTINGS)
    assert again.find("Jürgen.dcm", image) == FOUND
    assert again.find("other", image) is None
    again.start()  # what is known stays
    assert Readings(path, SETTINGS).find("Jürgen.dcm", image) == FOUND
    again.done()
    again.done()
    assert not path.exists()


def test_other_settings_forget(tmp_path: Path) -> None:
    path, image = kept(tmp_path)
    other = Readings(path, SETTINGS | {"memory": 6})
    assert other.find("Jürgen.dcm", image) is None
    other.start()
    assert Readings(path, SETTINGS).known == {}


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path, image = kept(tmp_path)
    state = os.stat(image)
    os.utime(image, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert Readings(path, SETTINGS).find("Jürgen.dcm", image) is None
    os.utime(image, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert Readings(path, SETTINGS).find("Jürgen.dcm", image) == FOUND
    os.unlink(image)
    assert Readings(path, SETTINGS).find("Jürgen.dcm", image) is None


def test_what_another_try_may_mend_is_tried_again(tmp_path: Path) -> None:
    path, image = kept(tmp_path, Finding("unreadable"))
    assert Readings(path, SETTINGS).find("Jürgen.dcm", image) is None
    path, image = kept(tmp_path, Finding("too-slow"))
    assert Readings(path, SETTINGS).find("Jürgen.dcm", image) == Finding("too-slow")


def test_half_a_line_and_foreign_lines_are_left_out(tmp_path: Path) -> None:
    path, image = kept(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"\n[", b'\n["a", 1, 2, {"other": 1}]\n7\nx\n[', 1) + b'["Ju')
    assert Readings(path, SETTINGS).known.keys() == {"Jürgen.dcm"}
    for content in (b"", b"\xff\xfe", whole[: len(whole) // 4]):
        path.write_bytes(content)
        assert Readings(path, SETTINGS).known == {}
    assert Readings(path.parent / "none", SETTINGS).known == {}
    assert image
