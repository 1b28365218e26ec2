"""The check of both bundles: an environment without fesf, and comparisons that can fail. CI runs the check itself."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from fesf.scripts import check_bundles
from fesf.scripts.check_bundles import BundlesCheck, environment_without_fesf, main
from fesf.scripts.package_bundle import ANALYST, HOSPITAL


def test_the_environment_has_our_requirements_and_not_fesf(tmp_path: Path) -> None:
    python = environment_without_fesf(tmp_path / "bare")
    code = "import numpy, PIL, sys; print(numpy.__file__); import fesf.transforms"
    done = subprocess.run([str(python), "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.startswith(str(tmp_path))
    assert "No module named 'fesf'" in done.stderr


def test_an_environment_that_has_fesf_all_the_same_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = subprocess.run

    def run(words: list[str], **options: object) -> subprocess.CompletedProcess[bytes]:
        if "-c" in words:
            return subprocess.CompletedProcess(words, 0)
        return inner(words, **options)  # type: ignore[call-overload,no-any-return]

    monkeypatch.setattr(check_bundles.subprocess, "run", run)
    with pytest.raises(RuntimeError, match="fesf can be imported in the environment that should not have it"):
        environment_without_fesf(tmp_path / "bare")


class Scripted(BundlesCheck):
    """The check with workflows that write small files; ``spoil`` names what differs in the bundles."""

    spoil = ""

    def _run(self, *arguments: object) -> None:
        if arguments[0] == "hiding":
            (self.store / "images").mkdir(parents=True)
            shutil.copy(self.demo / "images" / "000002.png", self.store / "images" / "ab.png")
            (self.zone / "iqem").mkdir(parents=True)
            (self.zone / "iqem" / "generator.pt").touch()
            (self.zone / "linkage.csv").write_text("id,row\nab,3\n")
        if arguments[0] == "training":
            self.installed.mkdir()
            (self.installed / "history.csv").write_text("epoch,loss\n1,0.5\n")
        if arguments[0] == "inferring":
            (self.installed / "predictions.csv").write_text("id,p\nab,0.5\n")

    def _python(self, *words: str, cwd: Path | None = None, **environment: str) -> tuple[int, str]:
        (self.work / "dist").mkdir()
        for name in (ANALYST, HOSPITAL):
            with zipfile.ZipFile(self.work / "dist" / f"{name}-1.zip", "w") as archive:
                archive.writestr(f"{name}/LICENSE", "free")
        if self.spoil == "leak":
            with zipfile.ZipFile(self.work / "dist" / f"{ANALYST}-1.zip", "a") as archive:
                archive.writestr(f"{ANALYST}/models/generator.pt", "weights")
        return (1, "no room") if self.spoil == "packing" else (0, "")

    def _in(self, bundle: Path, name: str, *words: str) -> bool:
        self.checks[name] = self.spoil != words[0]
        wrong = self.spoil in words
        if "inferring" in words and bundle.name == ANALYST:
            (bundle / "eval").mkdir()
            (bundle / "eval" / "predictions.csv").write_text(f"id,p\nab,{0.6 if wrong else 0.5}\n")
        elif "training" in words:
            (bundle / "again").mkdir()
            (bundle / "again" / "history.csv").write_text(f"epoch,loss\n1,{0.4 if wrong else 0.5}\n")
        elif "evaluating" in words and not wrong:
            (bundle / "eval" / "metrics.json").write_text("{}")
        elif "hiding" in words:
            shutil.copytree(self.store / "images", bundle / "again" / "images")
            if wrong:
                (bundle / "again" / "images" / "ab.png").write_bytes(b"other")
        elif "inferring" in words:
            (bundle / "surrogates").mkdir()
            other = self.demo / "images" / ("000001.png" if wrong else "000002.png")
            shutil.copy(other, bundle / "surrogates" / "0_surrogate.png")
        return self.checks[name]


@pytest.mark.parametrize(
    ("spoil", "failed"),
    [
        ("", set()),
        ("training", {"analyst: trains; the learning curve is the installed package's"}),
        ("evaluating", {"analyst: evaluates"}),
        ("hiding", {"hospital: hides the cohort to the same images as the installed package"}),
        (
            "inferring",
            {
                "analyst: predictions are the same bytes as the installed package's",
                "hospital: inferring gives an image's surrogate as the store has it",
            },
        ),
        ("verify_net_in_out", {"analyst: verify_net_in_out", "hospital: verify_net_in_out"}),
        ("ckpt_export", {"analyst: ckpt_export"}),
        ("leak", {"analyst: no host, generator, release or linkage"}),
    ],
)
def test_each_comparison_can_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: str, failed: set[str]
) -> None:
    monkeypatch.setattr(check_bundles, "environment_without_fesf", lambda folder: Path("python"))
    monkeypatch.setattr(Scripted, "spoil", spoil)
    check = Scripted(tmp_path, 3)
    found = check.run()
    assert {name for name, passed in check.checks.items() if not passed} == failed
    assert len(check.checks) == 9
    assert [entry["files"] for entry in found["bundles"].values()] == [2 if spoil == "leak" else 1, 1]


def test_a_bundle_that_cannot_be_packed_ends_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Scripted, "spoil", "packing")
    monkeypatch.setattr(check_bundles, "BundlesCheck", Scripted)
    assert main(["--out", str(tmp_path / "docs"), "--patients", "3"]) == 1
    assert capsys.readouterr().err.endswith("error: package_bundle ended with 1: no room\n")
    assert not (tmp_path / "docs").exists()


def test_what_runs_in_a_bundle_is_noted(tmp_path: Path) -> None:
    check = BundlesCheck(tmp_path)
    check.python = Path(sys.executable)
    assert check._in(tmp_path, "no such command", "nonsense") is False
    assert check.checks == {"no such command": False}
