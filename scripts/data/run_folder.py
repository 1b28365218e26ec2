"""Where one run of the pipeline keeps its things, and on which side of the hospital's wall they lie."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from fesf.scripts.data.files import make_private_folder, to_json, write_atomic


@dataclass(frozen=True)
class RunFolder:
    """Paths below the folder of one run.

    ``store/`` and ``analyst/`` may leave the hospital; everything else stays.

    Args:
        root: the run's folder.
    """

    root: Path

    @property
    def demo(self) -> Path:
        """The synthetic cohort, where none was given."""
        return self.root / "demo"

    @property
    def store(self) -> Path:
        """The surrogate store: all that crosses."""
        return self.root / "store"

    @property
    def hospital(self) -> Path:
        """Linkage, splits, release; private."""
        return self.root / "hospital"

    @property
    def surrogate(self) -> Path:
        """The analyst's model, trained on surrogates, and its evaluation."""
        return self.root / "analyst"

    @property
    def plaintext(self) -> Path:
        """The upper bound: trained on the cohort itself, so it stays."""
        return self.hospital / "plaintext"

    @property
    def generator(self) -> Path:
        """What the IQEM's training leaves: generator, distances, learning curve, pictures. It stays."""
        return self.hospital / "iqem"

    @property
    def quality(self) -> Path:
        """Image quality of every stage."""
        return self.hospital / "quality.json"

    def ablation(self, arm: str) -> Path:
        """Store, hospital folder, model and evaluation of an ablation; made to compare, never handed over."""
        return self.hospital / "ablation" / arm

    def evaluated(self, kind: str) -> Path:
        """Folder with the model and the evaluation of "plaintext", "surrogate" or an ablation."""
        places = {"plaintext": self.plaintext, "surrogate": self.surrogate}
        return places.get(kind) or self.ablation(kind)

    @property
    def predictions(self) -> Path:
        """What inference writes."""
        return self.surrogate / "inference" / "predictions.csv"

    @property
    def linked(self) -> Path:
        """What link writes."""
        return self.hospital / "linked.csv"

    @property
    def report(self) -> Path:
        """The page; it shows plaintexts and stays."""
        return self.root / "report" / "index.html"

    @property
    def settings_file(self) -> Path:
        """What the run was asked to do."""
        return self.root / "run.json"

    def save_settings(self, settings: dict[str, Any]) -> None:
        """Keep what the report must know: cohort, hosts, image size, whether it is the demo."""
        write_atomic(self.settings_file, to_json(settings))

    def settings(self) -> dict[str, Any]:
        """What :meth:`save_settings` kept.

        Raises:
            ValueError: when the folder is not a run's.
        """
        if not self.settings_file.is_file():
            raise ValueError(f"{str(self.root)!r} is not a run's folder: it has no {self.settings_file.name}.")
        settings: dict[str, Any] = json.loads(self.settings_file.read_text(encoding="utf-8"))
        return settings

    def make_secret(self) -> Path:
        """A random secret in the hospital's folder, made once: losing it means that a release cannot be resumed."""
        path = make_private_folder(self.hospital) / "secret"
        if not path.exists():
            write_atomic(path, (secrets.token_hex(32) + "\n").encode())
        return path


def configs_folder() -> Path:
    """The bundle's configs, as installed or in the clone.

    Raises:
        FileNotFoundError: when fesf was installed without its bundle.
    """
    # importlib.resources.files() fails on an editable install: the namespace's path holds a hook that is no folder.
    for folder in import_module("fesf.bundle").__path__:
        if os.path.isfile(os.path.join(folder, "configs", "train.json")):
            return Path(folder) / "configs"
    raise FileNotFoundError("fesf.bundle has no configs/train.json: install fesf again.")
