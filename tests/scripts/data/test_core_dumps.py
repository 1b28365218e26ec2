"""No core dump of a process that holds plaintexts, names or secrets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HOLDERS = {
    "itself": "from fesf.scripts.data.core_dumps import forbid_core_dumps; forbid_core_dumps()",
    "plaintexts": "from fesf.scripts.data.cohort import LoadImageCohortd; LoadImageCohortd('image', (8, 8))",
    "an export": "from fesf.scripts.data.inspector import Inspector; Inspector()",
    "the linkage": "from fesf.scripts.data.linkage import read_linkage; read_linkage('linkage.csv')",
    "a secret": "from fesf.scripts.data.keys import load_secret; load_secret('secret')",
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_core_dumps_are_forbidden(tmp_path: Path, holder: str) -> None:
    (tmp_path / "linkage.csv").write_text(f"id,row,patient,study,label,split\n{'a' * 32},2,P,,yes,test\n")
    (tmp_path / "secret").write_text("x" * 32)
    (tmp_path / "secret").chmod(0o600)
    said = "import resource; print(resource.getrlimit(resource.RLIMIT_CORE)[0])"
    allow = "resource.setrlimit(resource.RLIMIT_CORE, 2 * resource.getrlimit(resource.RLIMIT_CORE)[1:])"
    code = f"import resource; {allow}; {said}; {HOLDERS[holder]}; {said}"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    before, after = done.stdout.split()
    if before == "0":
        pytest.skip("needs a hard limit of core dumps above 0")
    assert after == "0", done.stderr
