"""Orthanc on the loopback as a PACS, spoken to by its REST interface."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from fesf.scripts.data.loopback import free_port, wait_for

TITLE = "PACS"
MODALITY = "gateway"


def program() -> str | None:
    """Path of Orthanc (Debian's package puts it into sbin), or None."""
    return shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin")


class Orthanc:
    """A PACS in a folder; a context manager.

    Args:
        folder: for its files.
        gateway: (AE title, port) of the gateway.
    """

    def __init__(self, folder: Path, gateway: tuple[str, int]) -> None:
        self.folder, self.port, self.http = folder, free_port(), free_port()
        folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "Name": "check",
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "HttpPort": self.http,
            "DicomPort": self.port,
            "DicomAet": TITLE,
            "DicomCheckCalledAet": True,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomModalities": {MODALITY: [gateway[0], "127.0.0.1", gateway[1]]},
            "DicomAlwaysAllowStore": False,
            "OverwriteInstances": False,
            "Plugins": [],
        }
        (folder / "orthanc.json").write_text(json.dumps(settings))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Orthanc:
        found = program()
        if found is None:
            raise RuntimeError("Orthanc is not installed: apt-get install orthanc")
        with open(self.folder / "orthanc.log", "wb") as log:
            self._process = subprocess.Popen(
                [found, str(self.folder / "orthanc.json")], stdout=log, stderr=subprocess.STDOUT
            )
        wait_for(f"http://127.0.0.1:{self.http}/system", self._process)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)

    def ask(self, path: str, body: Any = None, patience: float = 120.0) -> Any:
        """GET, or POST bytes or JSON; returns what the answer's JSON says.

        Raises:
            urllib.error.HTTPError: when Orthanc says no.
        """
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", data)
        with urllib.request.urlopen(request, timeout=patience) as answer:
            return json.loads(answer.read())

    @property
    def version(self) -> str:
        """Of Orthanc."""
        return str(self.ask("/system")["Version"])

    def upload(self, content: bytes) -> str:
        """Put a file into the PACS; returns Orthanc's id of it."""
        return str(self.ask("/instances", content)["ID"])

    def send(self, instances: list[str], patience: float = 120.0) -> int:
        """C-STORE instances to the gateway until it has taken them all; returns how often it had to be tried."""
        end, tries = time.monotonic() + patience, 0
        while True:
            tries += 1
            try:
                self.ask(f"/modalities/{MODALITY}/store", {"Resources": instances, "Synchronous": True})
                return tries
            except urllib.error.HTTPError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.3)

    def reports(self) -> list[dict[str, Any]]:
        """Tags of every structured report that it holds."""
        found = self.ask("/tools/find", {"Level": "Series", "Query": {"Modality": "SR"}, "Expand": True})
        instances = [instance for series in found for instance in series["Instances"]]
        return [self.ask(f"/instances/{instance}/simplified-tags") for instance in instances]

    def commit(self, references: list[tuple[str, str]], patience: float = 30.0) -> dict[str, Any]:
        """Ask the gateway for storage commitment; returns Orthanc's report when the gateway has answered."""
        items = [{"SOPClassUID": one, "SOPInstanceUID": two} for one, two in references]
        asked = self.ask(f"/modalities/{MODALITY}/storage-commitment", {"DicomInstances": items})
        end = time.monotonic() + patience
        while True:
            report: dict[str, Any] = self.ask(asked["Path"])
            if report["Status"] != "Pending" or time.monotonic() > end:
                return report
            time.sleep(0.1)
