"""The whole way with canaries: every stage in its zone, and each once more with a fault forced into it."""

from __future__ import annotations

import csv
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image

from fesf.scripts.canaries.failures import fail_everywhere, fail_quickly
from fesf.scripts.canaries.faults import FAULTS
from fesf.scripts.canaries.files import Export, make_export, smooth, write_labels
from fesf.scripts.canaries.zone import Zone
from fesf.scripts.data.run_folder import RunFolder, configs_folder

PLACE, HOST, USER = "the hospital's folder", "the hospital's host name", "the hospital's user name"
HOSPITAL_MODULES = ("torch", "monai.bundle", "monai.handlers", "pydicom", "itk", "fesf.scripts.report")
ANALYST_MODULES = ("torch", "monai.bundle", "monai.handlers")
SET_ASIDE = 3
EXTRAS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("hide-dicom", "highdicom", {"output": "dicom"}),
    ("hide-mask-text", "rapidocr_onnxruntime", {"mask_text": True}),
)
"""Ways of hiding that need a package of an extra, which is searched where it is installed."""


class StageError(RuntimeError):
    """A stage failed into which no fault was forced."""


@dataclass
class Stage:
    """One command that was run.

    Args:
        name: its name and that of its output.
        zone: "hospital" or "analyst".
        status: exit status, negative for a signal.
        fault: what was forced; empty for the normal run.
    """

    name: str
    zone: str
    status: int
    fault: str = ""


@dataclass
class Course:
    """A run of all stages.

    Args:
        work: folder of the run; it must be empty.
        files: DICOM files of the export.
        seed: of the export.
        image_size: picture side of the surrogates.
        say: takes a line of progress.

    Attributes:
        stages: what was run.
        unexpected: stages with a fault that ended otherwise than they should, as text.
        export: what was made.
        run: the hospital's folders.
    """

    work: Path
    files: int
    seed: int = 0
    image_size: int = 64
    say: Callable[[str], None] = print
    stages: list[Stage] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        draft = self.work / "draft"
        self.export: Export = make_export(draft, self.files, self.seed)
        mint = self.export.mint
        self.root = self.work / mint.text(PLACE, "place")
        self.root.mkdir(mode=0o700)
        moved = self.root / "export"
        draft.rename(moved)
        self.export.files = [moved / path.relative_to(draft) for path in self.export.files]
        self.export.folder = moved
        write_labels(self.export, self.root / "labels.csv")
        self.run = RunFolder(self.root)
        self.out, self.analyst, self.logs = self.work / "out", self.work / "analyst", self.work / "logs"
        (self.root / "hosts").mkdir()
        for number in range(8):
            Image.fromarray((smooth(number, (self.image_size,) * 2) * 255).astype("u1")).save(
                self.root / "hosts" / f"{number}.png"
            )
        self.out.mkdir()
        names = mint.text(USER, "host"), mint.text(HOST, "host")
        self._zones: dict[str, Zone] = {}
        self._open = {
            "hospital": lambda: Zone(self.root / "zone", self.logs / "hospital", *names, HOSPITAL_MODULES),
            "analyst": lambda: Zone(
                self.analyst / "zone", self.logs / "analyst", "analyst", "elsewhere", ANALYST_MODULES
            ),
        }
        self.debug = self.work / "debug.conf"
        quiet = (configs_folder() / "logging.conf").read_text(encoding="utf-8")
        self.debug.write_text(quiet.replace("=INFO", "=DEBUG"), encoding="utf-8")

    def go(self, quick: bool = False) -> None:
        """Run everything; ``quick`` leaves out what takes long: generator, release, tracking, report, most failures.

        Raises:
            StageError: when a stage fails by itself.
        """
        try:
            self._hide(quick)
            self._analyse(quick)
            if quick:
                fail_quickly(self)
            else:
                self._return()
                fail_everywhere(self)
        finally:
            for zone in self._zones.values():
                zone.close()

    def command(self, zone: str, name: str, *command: object, fault: str = "", expect: int | None = 0) -> None:
        """Run a command; ``expect`` None is any failure."""
        if zone not in self._zones:
            self._zones[zone] = self._open[zone]()
        status = self._zones[zone].run(name, *command, fault=fault if fault in FAULTS else "")
        self.stages.append(Stage(name, zone, status, fault))
        self.say(f"{name}: {status}")
        if (status == 0) if expect is None else (status != expect):
            said = f"{name} ended with {status}, not with {'a failure' if expect is None else expect}"
            if not fault:  # the stages that follow need it
                raise StageError(f"{said}: see logs/{zone}/{name}.log in the folder of --work.")
            self.unexpected.append(said)

    def bundle(
        self, zone: str, name: str, identity: str, configs: str, fault: str = "", expect: int | None = 0, **ids: Any
    ) -> None:
        listed = ",".join(f"'{configs_folder() / config}.json'" for config in configs.split())
        words: list[object] = ["run", identity, "--config_file", f"[{listed}]", "--logging_file", self.debug]
        for option, value in ids.items():
            words += [f"--{option}", value]
        self.command(zone, name, "monai.bundle", *words, fault=fault, expect=expect)

    def cohort(self, name: str = "make_cohort", out: str = "cohort.csv", **options: Any) -> None:
        labels = options.pop("labels", self.root / "labels.csv")
        words = [word for option in ("memory",) if option in options for word in (f"--{option}", options.pop(option))]
        self.command(
            "hospital", name, "fesf.scripts.make_cohort", self.export.folder, "--out", self.root / out,
            "--labels", labels, "--patient-from-folder", *words, **({"expect": SET_ASIDE} | options),
        )  # fmt: skip

    def hiding(self, name: str = "hide", **options: Any) -> None:
        place = self.root if name == "hide" else self.root / name
        store = self.run.store if name == "hide" else self.out / name / "store"
        store.parent.mkdir(exist_ok=True)
        ids = self.source | {
            "store_dir": store, "hospital_dir": place / "hospital" if name != "hide" else self.run.hospital,
            "secret_file": self.root / "secret", "on_bad_row": "quarantine", "disclose_patients": True,
        }  # fmt: skip
        place.mkdir(exist_ok=True)
        self.bundle("hospital", name, "hiding", "hide", **(ids | options))

    @property
    def source(self) -> dict[str, Any]:
        size = f"[{self.image_size}, {self.image_size}]"
        return {"cohort": self.root / "cohort.csv", "hosts_dir": self.root / "hosts", "image_size": size}

    def enhancing(self, name: str = "enhance", **options: Any) -> None:
        ids = self.source | {"epochs": 1, "iterations": 8, "batch_size": 8, "on_bad_row": "quarantine"}
        place = self.run.hospital if name == "enhance" else self.root / name
        ids |= {"hospital_dir": place, "averaging": 0.5, "learning_rate": 0.002, "content_weight": 2.0}
        self.bundle("hospital", name, "enhancing", "enhance", **(ids | options))

    def _hide(self, quick: bool) -> None:
        self.cohort()
        secret = self.root / "secret"
        secret.write_text("the secret of a hospital that is made up\n", encoding="utf-8")
        secret.chmod(0o600)
        if quick:
            self.hiding()
            return
        self.command("hospital", "make_key", "fesf.scripts.make_key", self.root / "release-key")
        self.enhancing()
        self.hiding(generator_file=self.run.generator / "generator.pt")
        for name, package, ids in EXTRAS:
            if find_spec(package) is not None:
                self.hiding(name, **ids)
        where = ["--hospital", self.run.hospital, "--secret-file", secret]
        self.command("hospital", "verify_store", "fesf.scripts.verify_store", self.run.store, *where)
        self.release("release", self.run.store, self.out / "store.tar")

    def release(self, name: str, store: Path, archive: Path, **options: Any) -> None:
        self.command(
            "hospital", name, "fesf.scripts.release", store, "--hospital", self.run.hospital, "--approver", "Officer",
            "--to", "Analyst", "--key-file", self.root / "release-key", "--without-audit", "made up",
            "--archive", archive, **options,
        )  # fmt: skip

    def _analyse(self, quick: bool) -> None:
        self.store = self.analyst / "got"
        if quick:
            shutil.copytree(self.run.store, self.store)
        else:
            with tarfile.open(self.out / "store.tar") as archive:
                archive.extractall(self.store, filter="data")
            self.store = next(self.store.glob("**/manifest.json")).parent
            self.command("analyst", "verify_store", "fesf.scripts.verify_store", self.store)
        tracked = {} if quick else self.tracked
        self.training("train", **tracked)
        self.evaluating("evaluate", **tracked)
        self.inferring("infer", **tracked)

    @property
    def tracked(self) -> dict[str, Any]:
        return {"tracking": configs_folder() / "mlflow.json"}

    def model(self, of: str = "model") -> dict[str, Any]:
        place = self.analyst / of
        return {"dataset_dir": self.store, "ckpt_dir": place / "models", "output_dir": place / "eval"}

    def training(self, name: str, **options: Any) -> None:
        ids = self.model("model" if name == "train" else name) | {"epochs": 2, "batch_size": 8}
        self.bundle("analyst", name, "training", "train", **(ids | options))

    def evaluating(self, name: str, **options: Any) -> None:
        self.bundle("analyst", name, "evaluating", "train evaluate", **(self.model() | {"bootstrap": 20} | options))

    def inferring(self, name: str, **options: Any) -> None:
        ids = self.model() | {"output_dir": self.analyst / "inference"}
        self.bundle("analyst", name, "inferring", "inference", **(ids | options))

    def _return(self) -> None:
        """Predictions come back; the hospital joins them, trains its upper bound and writes the report."""
        for part in ("models", "eval"):
            shutil.copytree(self.analyst / "model" / part, self.run.surrogate / part)
        shutil.copytree(self.analyst / "inference", self.run.predictions.parent)
        self.linking("link", self.run.linked)
        size = self.source["image_size"]
        ids = {"cohort": self._usable(), "splits": self.run.hospital / "splits.csv", "image_size": size}
        ids |= {"ckpt_dir": self.run.plaintext / "models", "output_dir": self.run.plaintext / "eval", "batch_size": 8}
        self.bundle("hospital", "train_plaintext", "training", "train plaintext", epochs=1, **ids)
        self.bundle("hospital", "evaluate_plaintext", "evaluating", "train evaluate plaintext", bootstrap=20, **ids)
        settings = {"cohort": str(self.root / "cohort.csv"), "hosts": str(self.root / "hosts"), "demo": False}
        settings |= {
            "image_size": [self.image_size] * 2,
            "intensity_range": None,
            "network": "default",
            "install_seconds": 0,
        }
        self.run.save_settings(settings | {"kinds": ["plaintext", "surrogate", "majority"], "steps": []})
        self.command("hospital", "report", "fesf.scripts.report", "--run", self.root)

    def _usable(self) -> Path:
        """The cohort without the rows that hide set aside, which training on plaintexts does not take."""
        with open(self.run.hospital / "quarantine.csv", encoding="utf-8", newline="") as file:
            aside = {int(line["row"]) for line in csv.DictReader(file)}
        lines = (self.root / "cohort.csv").read_bytes().splitlines(keepends=True)
        path = self.root / "usable.csv"
        path.write_bytes(b"".join(line for number, line in enumerate(lines, start=1) if number not in aside))
        return path

    def linking(self, name: str, out: Path, **options: Any) -> None:
        paths = {"predictions": self.run.predictions, "linkage": self.run.hospital / "linkage.csv", "out": out}
        paths |= {option: options.pop(option) for option in tuple(paths) if option in options}
        words = [word for option, path in paths.items() for word in (f"--{option}", path)]
        self.command("hospital", name, "fesf.scripts.link", *words, **options)
