"""hide killed at random moments ends in the same bytes; ``make kill N=20`` does it more often."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("FESF_KILLS", "3"))


def test_killed_runs_end_in_the_same_bytes() -> None:
    command = [sys.executable, "-m", "tests.bundle.kill_hide", "--kills", str(KILLS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()[-1]
    print(said)
    assert re.match(
        rf"{KILLS} kills \(seed 0\): .*\. [1-9]\d* finished stores, all equal to an uninterrupted one", said
    )
