"""Requests that a gateway must refuse, by DCMTK's clients, which share no code with it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

TOOLS = ("echoscu", "storescu", "findscu")


def missing() -> list[str]:
    """The clients that are not installed."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]


def probe(original: Path, studies: tuple[str, int], returns: tuple[str, int]) -> dict[str, bool]:
    """What the two listeners answer.

    Args:
        original: a patient's file.
        studies, returns: (AE title, port) of each listener.

    Returns:
        By what is asked for: whether the answer is right.
    """

    def run(tool: str, place: tuple[str, int], calling: str, *words: str) -> bool:
        command = [tool, "-aet", calling, "-aec", place[0], "127.0.0.1", str(place[1]), *words]
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0

    query = ("-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "PatientName=*")
    return {
        "C-ECHO by the PACS is answered": run("echoscu", studies, "PACS"),
        "C-ECHO by the analyst is answered": run("echoscu", returns, "ANALYST"),
        "another calling title is refused": not run("echoscu", studies, "STRANGER"),
        "another called title is refused": not run("echoscu", ("OTHER", studies[1]), "PACS"),
        "the analyst cannot query": not run("findscu", returns, "ANALYST", *query),
        "nobody can query the gateway": not run("findscu", studies, "PACS", *query),
        "the analyst cannot store an image": not run("storescu", returns, "ANALYST", str(original)),
    }
