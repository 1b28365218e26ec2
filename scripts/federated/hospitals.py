"""Two hospitals made of one public set: each has its own patients, host pool, recipe and secret, and its own store."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fesf.scripts.data.cohort_table import Cohort, read_cohort
from fesf.scripts.data.files import PRIVATE, to_csv, write_atomic
from fesf.scripts.data.grid import run_bundle
from fesf.scripts.data.hosts import host_files
from fesf.scripts.federated.partition import divide

SITES = ("site-1", "site-2")
"""What NVFLARE's simulator calls its first two clients."""


@dataclass(frozen=True)
class Choice:
    """What a hospital keeps to itself.

    Args:
        alpha: half-width of its band.
        beta: the plaintext's share in it.
    """

    alpha: float
    beta: float


@dataclass(frozen=True)
class Hospital:
    """A hospital and its folder.

    Args:
        name: one of :data:`SITES`.
        folder: where all it has lies.
        choice: its recipe.
    """

    name: str
    folder: Path
    choice: Choice

    @property
    def cohort(self) -> Path:
        """Its ``cohort.csv``."""
        return self.folder / "cohort.csv"

    @property
    def hosts(self) -> Path:
        """Its host pool."""
        return self.folder / "hosts"

    @property
    def store(self) -> Path:
        """What it publishes."""
        return self.folder / "store"

    @property
    def linkage(self) -> Path:
        """Who is who in its store."""
        return self.folder / "hospital" / "linkage.csv"

    def hide(self, image_size: Sequence[int], seed: int) -> None:
        """Hide its cohort once, in its own host: no generator is needed.

        Args:
            image_size: size of the surrogates.
            seed: draws its host and, where the cohort names none, its splits.
        """
        secret = self.folder / "secret"
        # The sets are public and the stores go nowhere: a secret that follows from the name gives the same ids again.
        words = f"fesf federation {'/'.join(self.folder.parts[-3:])} {seed}"  # set, run, site
        write_atomic(secret, hashlib.sha256(words.encode()).hexdigest().encode(), PRIVATE)
        run_bundle(
            ["hide"],
            "hiding",
            "infer",
            cohort=self.cohort,
            hosts_dir=self.hosts,
            store_dir=self.store,
            hospital_dir=self.folder / "hospital",
            secret_file=secret,
            image_size=list(image_size),
            seed=seed,
            alpha=self.choice.alpha,
            beta=self.choice.beta,
        )


def strata(cohort: Cohort) -> dict[str, tuple[str, tuple[str, ...]]]:
    """By patient, split and labels: what both hospitals shall have alike."""
    splits = {row.patient: row.split for row in cohort.rows}
    return {
        patient: (splits[patient], tuple(sorted(labels))) for patient, labels in cohort.labels_of_patients().items()
    }


def make_hospitals(
    cohort: Path, hosts: Path, folder: Path, choices: Sequence[Choice], share: float, seed: int
) -> list[Hospital]:
    """Divide a cohort by patients, and a host pool by files, between two hospitals.

    Ids, and so the order of training, follow from what a cohort calls its images: here their number, wherever they lie.

    Args:
        cohort: ``cohort.csv`` of the whole set.
        hosts: its host pool, at least two images; each hospital gets one half.
        folder: where the hospitals' folders go.
        choices: recipe of each.
        share: the first hospital's share of the patients.
        seed: of the draw.

    Raises:
        ValueError: when there is only one host, or :func:`fesf.scripts.federated.partition.divide` refuses.
    """
    with open(cohort, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        columns, lines = list(reader.fieldnames or []), list(reader)
    files = host_files(hosts)
    if len(files) < len(SITES):
        raise ValueError("The host pool holds one image: each hospital needs a host of its own.")
    side = divide(strata(read_cohort(cohort)), share, seed)
    found = []
    for number, (name, choice) in enumerate(zip(SITES, choices, strict=True)):
        hospital = Hospital(name, folder / name, choice)
        hospital.hosts.mkdir(parents=True)
        half = len(files) // 2
        for path in files[:half] if number == 0 else files[half:]:
            (hospital.hosts / path.name).symlink_to(os.path.realpath(path))
        (hospital.folder / "images").mkdir()
        rows = []
        for position, line in enumerate(lines):
            if side[line["patient"]] == number:
                source = cohort.parent / line["image"]
                name = f"images/{position:06d}{source.suffix}"
                (hospital.folder / name).symlink_to(os.path.realpath(source))
                rows.append(line | {"image": name})
        write_atomic(hospital.cohort, to_csv(columns, rows))
        found.append(hospital)
    return found
