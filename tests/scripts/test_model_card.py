"""Model card and performance table: figures of the files, and the committed pages are what the command writes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fesf.scripts.model_card import END, START, accuracy_table, main, with_table

ROOT = Path(__file__).parents[2]


def row(arm: str, run: int, auc: float, network: str = "cnn", name: str = "demo") -> dict[str, str]:
    values = {"set": name, "network": network, "arm": arm, "run": str(run), "auc": str(auc)}
    return values | {"balanced_accuracy": "0.5", "commit": "abcdef0123"}


def test_means_and_deviations_are_over_runs_of_the_small_network() -> None:
    rows = [row("plaintext", 0, 0.9), row("plaintext", 1, 0.7), row("full", 0, 0.6), row("full", 0, 0.1, "vit")]
    rows += [row("second_pass", 0, 0.2)]
    lines = accuracy_table(rows).splitlines()
    # Of 0.9 and 0.7: mean 0.8, deviation 0.1 * sqrt(2); one run has no deviation.
    assert lines[2] == "| demo | AUC | 2 | 0.800 ± 0.14 | - | - | 0.600 |"
    assert lines[3] == "| demo | balanced accuracy | 2 | 0.500 ± 0.00 | - | - | 0.500 |"
    assert len(lines) == 4


def test_what_stands_around_the_table_stays() -> None:
    page = with_table(f"before\n{START}\nthe one before\n{END}\nafter\n", [row("full", 0, 0.6)])
    assert page.startswith(f"before\n{START}\nSmall network")
    assert "the one before" not in page
    assert "at commit abcdef0." in page
    assert page.endswith(f"{END}\nafter\n")
    with pytest.raises(ValueError, match="has no '<!-- written by"):
        with_table("no marks", [])


def test_the_committed_pages_are_what_the_command_writes(tmp_path: Path) -> None:
    shutil.copy(ROOT / "bundle" / "docs" / "README.md", tmp_path)
    assert main(["--figures", str(ROOT / "docs"), "--out", str(tmp_path)]) == 0
    for name in ("README.md", "model_card.md"):
        assert (tmp_path / name).read_text() == (ROOT / "bundle" / "docs" / name).read_text(), f"make {name} again"


def test_missing_figures_get_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--figures", str(tmp_path), "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
