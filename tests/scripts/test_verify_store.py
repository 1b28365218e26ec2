"""The command: status, what it prints, its speed, and that it needs neither the hospital's packages nor torch."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from fesf.scripts.data.signature import make_keys
from fesf.scripts.data.verify import Problem, verify_store
from fesf.scripts.verify_store import listing, main
from tests.scripts.data.made_store import even_out, identity, made, png, write

IMAGES = 10_000
SECONDS = 10.0


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    return made(tmp_path)


def test_status_and_text(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    store, hospital = folders
    assert main([str(store)]) == 0
    assert capsys.readouterr().out == "No problem found.\n"
    assert main([str(store), "--hospital", str(hospital)]) == 0
    said = capsys.readouterr().out
    assert "note: validation: 1 of 1 patients have a set of labels that nobody else in it has, 1 by the number" in said
    assert "Schmidt" not in said
    (store / "images" / f"{identity(3)}.png").write_bytes(png(99))
    even_out(store)
    assert main([str(store)]) == 1
    said = capsys.readouterr().out
    assert said.splitlines() == [
        "digest-differs: the file has another SHA-256 than the manifest says (1)",
        f"  digest-differs {identity(3)}",
        "1 problems.",
    ]


def test_mistakes(folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, _ = folders
    assert main([str(store), "--hospital", str(tmp_path)]) == 2
    assert "error: linkage" in capsys.readouterr().err
    assert main([str(store), "--public-key", str(tmp_path / "none")]) == 2
    assert "is not a file: name the .pub file" in capsys.readouterr().err
    assert main([str(tmp_path / "none")]) == 1
    assert "no-manifest" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        main([str(store), "--secret-file", "x"])


def test_signature(folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, _ = folders
    public = make_keys(tmp_path / "key")
    assert main([str(store), "--public-key", str(public)]) == 1
    assert "no-signature -" in capsys.readouterr().out
    (store / "manifest.sig").write_bytes(bytes(64))
    even_out(store)
    assert main([str(store), "--public-key", str(public)]) == 1
    assert "bad-signature manifest.sig" in capsys.readouterr().out


def test_a_long_list_is_cut() -> None:
    text = listing([Problem("duplicate", identity(n)) for n in range(5)], most=2).splitlines()
    assert text[0] == "duplicate: the file equals another image's (5)"
    assert text[1:] == [f"  duplicate {identity(0)}", f"  duplicate {identity(1)}", "  ... and 3 more"]


def test_the_analyst_needs_the_standard_library_alone(folders: tuple[Path, Path]) -> None:
    blocked = ("torch", "monai", "numpy", "cryptography", "pydicom", "nibabel", "PIL")
    code = f"import sys; sys.modules.update(dict.fromkeys({blocked!r})); from fesf.scripts.verify_store import main; "
    done = subprocess.run(
        [sys.executable, "-c", code + f"sys.exit(main([{str(folders[0])!r}]))"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "No problem found.\n", "")


def test_10000_images_in_10_seconds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Measured: 0.8 s on one core of an AMD EPYC that two other processes share."""
    images = {f"images/{identity(n)}.png": png(n, (64, 64), 16, end=b"") for n in range(IMAGES)}
    items = [{"image": name, "label": n % 2} for n, name in enumerate(sorted(images))]
    write(tmp_path / "store", images, {"class_names": ["no", "yes"], "training": items, "validation": [], "test": []},
          spatial_size=[64, 64], encoding={"type": "png", "bits": 16})  # fmt: skip
    start = time.perf_counter()
    problems = verify_store(tmp_path / "store")
    seconds = time.perf_counter() - start
    with capsys.disabled():
        print(f"\nverify_store: {IMAGES} images in {seconds:.2f} s (at most {SECONDS:.0f})")
    assert problems == []
    assert seconds < SECONDS
