"""One release: from the cohort's rows to a published surrogate store, interruptible and the same bytes each time."""

from __future__ import annotations

import hmac
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from fesf.scripts.data.cohort import CohortError, CohortRow, read_cohort
from fesf.scripts.data.files import SHARED, make_private_folder, to_csv, to_json, write_atomic
from fesf.scripts.data.flags import flag
from fesf.scripts.data.folders import JOURNAL, LINKAGE, QUARANTINE, RELEASE, ReleaseFolders
from fesf.scripts.data.journal import Journal, Written
from fesf.scripts.data.kept_splits import plan_splits, save_splits
from fesf.scripts.data.keys import commitment, derive_key, is_demo_secret, keyed_id, load_secret
from fesf.scripts.data.phase import PhaseCheck
from fesf.scripts.data.recipe import Recipe
from fesf.scripts.data.store import DATASET, FORMAT, IMAGES, MANIFEST, SECTIONS, SUFFIXES, VERSION, load_manifest

DRY_RUN_IMAGES = 32
# All files of a store carry this time: 1980-01-01, the first that a zip archive can hold.
MODIFIED = 315_532_800


class Release:
    """Plans a release, takes its surrogates one by one, and publishes the store.

    Ids are the order of work, so that neither the order of files nor their creation follows the cohort's order.

    Args:
        recipe: every choice of the release.
        cohort: path of ``cohort.csv``.
        store_dir: the store to publish.
        hospital_dir: the hospital's folder for this release; made with mode 0700.
        secret_file: file with the hospital's secret; None reads the environment.
        previous_splits: ``splits.csv`` of an earlier release, whose patients keep their split.
        dry_run: report counts, exclusions, disk and time, and write nothing.

    Attributes:
        pending: the rows that are still to be hidden, in the order of their ids.

    Raises:
        ValueError: when a path, the secret or the cohort cannot be used; before any image is read.
    """

    def __init__(
        self,
        recipe: Recipe,
        cohort: str | Path,
        store_dir: str | Path,
        hospital_dir: str | Path,
        secret_file: str | Path | None = None,
        previous_splits: str | Path | None = None,
        dry_run: bool | str = False,
    ) -> None:
        inputs = [Path(path) for path in (cohort, secret_file, previous_splits) if path is not None]
        self.folders = ReleaseFolders(Path(store_dir), Path(hospital_dir), tuple(inputs))
        self.recipe, self.dry_run = recipe, flag("dry_run", dry_run)
        secret = load_secret(secret_file)
        self.secret_kind = "demo" if is_demo_secret(secret) else "own"
        purposes = ("image", "patient", "commitment")
        self._keys = {purpose: derive_key(secret, recipe.release_id, purpose) for purpose in purposes}
        self.cohort = read_cohort(cohort)
        self.suffix = SUFFIXES[recipe.encoding["type"]]
        self.splits = plan_splits(self.cohort, recipe.fractions, recipe.seed, hospital_dir, previous_splits)
        self.excluded: list[tuple[int, str]] = []
        self.written_bytes = 0
        ids = {keyed_id(self._keys["image"], *row.key): row for row in self.cohort.rows}
        self.rows = dict(sorted(ids.items()))
        self.journal = Journal(self.folders.hospital(JOURNAL), self._settings())
        self.pending = [] if self.folders.is_published else self._plan()

    def _settings(self) -> dict[str, str]:
        known = self.recipe.document("", self.secret_kind, {})
        return {
            "recipe": sha256(to_json(known)).hexdigest(),
            "secret": commitment(self._keys["commitment"], b"journal"),
        }

    def _plan(self) -> list[CohortRow]:
        done = set() if self.dry_run else self.journal.intact(self.folders.partial / IMAGES, self.suffix)
        pending = [row for name, row in self.rows.items() if name not in done]
        return pending[:DRY_RUN_IMAGES] if self.dry_run else pending

    def id_of(self, row: CohortRow) -> str:
        """Keyed id of the row's image, 32 hex digits."""
        return keyed_id(self._keys["image"], *row.key)

    def run(self, hide: Callable[[], Any], host_sha256: str) -> None:
        """Hide what is pending and publish, or report on a dry run.

        Args:
            hide: runs the engine over :attr:`pending`; its handler calls :meth:`add` and :meth:`exclude`.
            host_sha256: digest of the host's file.

        Raises:
            ValueError: when the store's place is taken by another release.
        """
        if self.dry_run:
            return self._report(hide)
        if self.folders.is_published:
            return self._recognise(host_sha256)
        make_private_folder(self.folders.hospital_dir)
        if self.folders.hospital(RELEASE).is_file() and not self.journal.path.is_file():
            raise ValueError("hospital_dir holds the release.json of another store: give each release its own folder.")
        (self.folders.partial / IMAGES).mkdir(parents=True, exist_ok=True)
        self.journal.start(host_sha256)
        if self.pending:
            hide()
        self._publish(host_sha256)
        print(f"Published {len(self.rows) - len(self.excluded)} surrogates, {len(self.excluded)} rows in quarantine.")
        return None

    def add(self, row: CohortRow, content: bytes, clipped: float, check: PhaseCheck) -> None:
        """Take one finished surrogate.

        Args:
            row: its row in the cohort.
            content: bytes of its file.
            clipped: share of its pixels at exactly 0 or 1.
            check: result of the phase check on what ``content`` holds.

        Raises:
            CohortError: when the phase check failed: then nothing is ever published.
        """
        if not check.passed:
            raise CohortError(
                f"Row {row.row} of the cohort: its surrogate failed the phase check ({check.text}). Nothing was"
                " published. Choose a smaller beta, or a host with fewer pixels at 0 and 1."
            )
        self.written_bytes += len(content)
        if self.dry_run:
            return
        name = self.id_of(row)
        path = self.folders.partial / IMAGES / (name + self.suffix)
        beside = path.with_name(f".{path.name}")
        beside.write_bytes(content)
        os.replace(beside, path)
        numbers = (clipped, check.coherence, check.excess)
        self.journal.append(Written(name, sha256(content).hexdigest(), len(content), *(round(n, 6) for n in numbers)))

    def exclude(self, row: CohortRow, reason: str) -> None:
        """Set a row aside that cannot be used, or stop, as the recipe says.

        Args:
            row: the row.
            reason: text that names the row and nothing of the patient.

        Raises:
            CohortError: when the recipe says "stop" and this is no dry run.
        """
        if self.recipe.on_bad_row == "stop" and not self.dry_run:
            raise CohortError(
                f"{reason} What is done is kept: correct the row and run the same command again, or set "
                "on_bad_row to 'quarantine' to go on without such rows."
            )
        self.excluded.append((row.row, reason))

    def _publish(self, host_sha256: str) -> None:
        partial, hospital = self.folders.partial, self.folders.hospital
        records = {record.id: record for record in self.journal if record.id in self.rows}
        rows = {name: row for name, row in self.rows.items() if name in records}
        if not rows:
            raise CohortError("No row of the cohort could be hidden: see the reasons above and correct the cohort.")
        outcome = self._outcome([records[name] for name in rows])
        release = to_json(self.recipe.document(host_sha256, self.secret_kind, outcome))
        linkage = (
            {"id": name, "row": row.row, "split": self.splits[row.patient]} | _of_row(row) for name, row in rows.items()
        )
        write_atomic(hospital(LINKAGE), to_csv(("id", "row", "patient", "study", "label", "split"), linkage))
        save_splits(self.folders.hospital_dir, self.splits)
        aside = ({"row": row, "reason": reason} for row, reason in sorted(self.excluded))
        write_atomic(hospital(QUARANTINE), to_csv(("row", "reason"), aside))
        write_atomic(hospital(RELEASE), release)
        keep = {name + self.suffix for name in rows}
        for stray in (path for path in (partial / IMAGES).iterdir() if path.name not in keep):
            stray.unlink()
        dataset = to_json(self._dataset(rows))
        write_atomic(partial / DATASET, dataset, SHARED)
        files = {
            f"{IMAGES}/{name}{self.suffix}": {"sha256": records[name].sha256, "size": records[name].size}
            for name in rows
        }
        files[DATASET] = {"sha256": sha256(dataset).hexdigest(), "size": len(dataset)}
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "spatial_size": list(self.recipe.spatial_size),
            "encoding": self.recipe.encoding,
            "commitment": commitment(self._keys["commitment"], release),
            "files": files,
        }
        write_atomic(partial / MANIFEST, to_json(manifest), SHARED)
        _even_out(partial)
        os.replace(partial, self.folders.store_dir)
        self.journal.path.unlink()

    def _outcome(self, records: Sequence[Written]) -> dict[str, Any]:
        clipped = np.array([record.clipped for record in records])
        return {
            "images": len(records),
            "quarantined": len(self.excluded),
            "clipped_share": {"mean": round(float(clipped.mean()), 6), "max": float(clipped.max())},
            "phase_check": {
                "lowest_coherence": min(record.coherence for record in records),
                "largest_excess": max(record.excess for record in records),
            },
        }

    def _dataset(self, rows: dict[str, CohortRow]) -> dict[str, Any]:
        names = self.cohort.class_names
        sections: dict[str, Any] = {section: [] for section in SECTIONS}
        for name, row in rows.items():
            section = self.splits[row.patient]
            item: dict[str, Any] = {"image": f"{IMAGES}/{name}{self.suffix}"}
            if row.label and not (section == "test" and self.recipe.hold_out_labels):
                item["label"] = names.index(row.label)
            if self.recipe.disclose_patients:
                item["patient"] = keyed_id(self._keys["patient"], row.patient)
            sections[section].append(item)
        return {"class_names": names} | sections

    def _recognise(self, host_sha256: str) -> None:
        """A rerun after publication: fine for the same release, refused for another."""
        path = self.folders.hospital(RELEASE)
        release = path.read_bytes() if path.is_file() else b""
        expected = commitment(self._keys["commitment"], release)
        if not hmac.compare_digest(expected, load_manifest(self.folders.store_dir)["commitment"]):
            raise ValueError(f"store_dir {str(self.folders.store_dir)!r} holds another release: choose a new folder.")
        held, asked = json.loads(release), json.loads(to_json(self.recipe.document(host_sha256, self.secret_kind, {})))
        changed = sorted(name for name, value in asked.items() if name != "software" and held[name] != value)
        if changed:
            raise ValueError(
                f"store_dir {str(self.folders.store_dir)!r} holds this release with another {' and '.join(changed)}: a"
                " published store is not changed; choose new folders and another release_id."
            )
        self.journal.path.unlink(missing_ok=True)
        print("This release is published already; nothing was done.")

    def _report(self, hide: Callable[[], Any]) -> None:
        start = time.perf_counter()
        hide()
        tried = len(self.pending)
        passed = tried - len(self.excluded)
        seconds = (time.perf_counter() - start) / max(tried, 1)
        missing = [row.row for row in self.cohort.rows if not (self.cohort.folder / row.image).is_file()]
        aside = sorted(set(missing) | {row for row, _ in self.excluded})
        total = len(self.rows) - len(aside)
        size = self.written_bytes / max(passed, 1) * total
        free = shutil.disk_usage(next(path for path in self.folders.partial.parents if path.exists())).free
        counts = dict.fromkeys(SECTIONS, 0)
        for row in self.cohort.rows:
            counts[self.splits[row.patient]] += row.row not in aside
        print(f"Dry run: nothing was written. {tried} of {len(self.rows)} rows were hidden in memory.")
        print(f"  images    {total} ({', '.join(f'{section} {count}' for section, count in counts.items())})")
        patients = len({row.patient for row in self.cohort.rows})
        print(f"  patients  {patients}, classes {', '.join(self.cohort.class_names)}")
        print(f"  excluded  {len(aside)} rows{': ' + ', '.join(map(str, aside[:20])) if aside else ''}")
        for _, reason in self.excluded[:20]:
            print(f"            {reason}")
        print(f"  disk      about {size / 1e6:.1f} MB, {free / 1e9:.1f} GB free")
        print(f"  time      about {seconds * total:.0f} s at {1000 * seconds:.1f} ms an image")


def _of_row(row: CohortRow) -> dict[str, str]:
    return {"patient": row.patient, "study": row.study, "label": row.label}


def _even_out(folder: Path) -> None:
    """Give every file and folder the same time and the permissions of something that is handed over."""
    for place, _, names in os.walk(folder, topdown=False):  # names, not a path object for each of many images
        for name in names:
            os.chmod(os.path.join(place, name), SHARED)
            os.utime(os.path.join(place, name), (MODIFIED, MODIFIED))
        os.chmod(place, 0o755)
        os.utime(place, (MODIFIED, MODIFIED))
