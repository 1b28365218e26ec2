"""What the check writes and how it ends; `make label` runs it against a real server."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from fesf.scripts.check_label import main
from fesf.scripts.label.live_check import LabelCheck, entropy_by_hand


@pytest.mark.parametrize(("later", "status"), [(True, 0), (False, 1)])
def test_the_page_and_the_status(
    later: bool, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(self: LabelCheck) -> dict[str, Any]:
        assert self.python == str(tmp_path / "python")
        self.checks |= {"served": True, "refused": later}
        return {"requests": [], "label_environment": {"monailabel": "0.8.5"}}

    monkeypatch.setattr(LabelCheck, "run", run)
    (tmp_path / "python").touch()
    words = ["--out", str(tmp_path), "--python", str(tmp_path / "python"), "--patients", "12"]
    assert main(words) == status
    found = json.loads((tmp_path / "label.json").read_text())
    assert found["command"] == "python -m fesf.scripts.check_label --out docs --patients 12 --epochs 2"
    assert found["checks"] == {"served": True, "refused": later}
    assert found["label_environment"] == {"monailabel": "0.8.5"}
    assert ("FAIL refused" in capsys.readouterr().out) is not later


def test_a_missing_environment_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path), "--python", str(tmp_path / "none")]) == 2
    said = f"error: {str(tmp_path / 'none')!r} is missing: make label makes an environment with MONAI Label.\n"
    assert capsys.readouterr().err == said


def test_the_hand_calculation_is_right() -> None:
    assert entropy_by_hand([0.5, 0.5]) == pytest.approx(math.log(2))
    assert entropy_by_hand([1.0, 0.0]) == 0
