"""One release: from the cohort's rows to a published surrogate store, interruptible and the same bytes each time."""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from fesf.scripts.data.cohort import CohortError, CohortRow, read_cohort
from fesf.scripts.data.dry_run import DRY_RUN_IMAGES, report_dry_run
from fesf.scripts.data.encrypted_table import encrypt
from fesf.scripts.data.files import SHARED, even_out, flush_folder, make_private_folder, to_csv, to_json, write_atomic
from fesf.scripts.data.flags import flag
from fesf.scripts.data.folders import JOURNAL, LINKAGE, QUARANTINE, RELEASE, ReleaseFolders
from fesf.scripts.data.journal import Journal, Written
from fesf.scripts.data.kept_splits import plan_splits, save_splits
from fesf.scripts.data.keys import commitment, derive_key, keyed_id, load_secret, refuse_demo_secret
from fesf.scripts.data.linkage import LINKAGE_COLUMNS, encrypted_path
from fesf.scripts.data.lock import locked
from fesf.scripts.data.phase import PhaseCheck, PhaseCheckError
from fesf.scripts.data.recipe import Recipe
from fesf.scripts.data.release_entry import log_withdrawal
from fesf.scripts.data.splits import read_splits
from fesf.scripts.data.storage import plain_storage_errors
from fesf.scripts.data.store_format import (
    DATASET,
    FORMAT,
    IMAGES,
    MANIFEST,
    SECTIONS,
    SUFFIXES,
    VERSION,
    load_manifest,
)
from fesf.scripts.data.withdrawn import read_withdrawn, tombstone, without

BUSY = "Another run is writing this store or this hospital folder: wait for it to end, or choose other folders."


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
        withdrawn: table with the column patient: those who are left out; their number is logged.
        release_log: the hospital's release log, which gets the withdrawal; needed with ``withdrawn``.
        encrypt_linkage: write ``linkage.csv.enc`` in place of ``linkage.csv``.

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
        withdrawn: str | Path | None = None,
        release_log: str | Path | None = None,
        encrypt_linkage: bool | str = False,
    ) -> None:
        paths = (cohort, secret_file, previous_splits, withdrawn, release_log)
        inputs = [Path(path) for path in paths if path is not None]
        self.folders = ReleaseFolders(Path(store_dir), Path(hospital_dir), tuple(inputs))
        self.recipe, self.dry_run = recipe, flag("dry_run", dry_run)
        self.encrypt_linkage, self.secret_file = flag("encrypt_linkage", encrypt_linkage), secret_file
        self._secret = secret = load_secret(secret_file)
        self.secret_kind = refuse_demo_secret(secret, cohort)
        purposes = ("image", "patient", "commitment")
        self._keys = {purpose: derive_key(secret, recipe.release_id, purpose) for purpose in purposes}
        self.cohort = read_cohort(cohort)
        self.suffix = SUFFIXES[recipe.encoding["type"]]
        self._withdraw(withdrawn, release_log, previous_splits)
        splits = plan_splits(self.cohort, recipe.fractions, recipe.seed, hospital_dir, previous_splits)
        self.splits = {patient: split for patient, split in splits.items() if patient not in self.withdrawn}
        self.excluded: list[tuple[int, str]] = []
        self.written_bytes = 0
        ids = {keyed_id(self._keys["image"], *row.key): row for row in self.cohort.rows}
        self.rows = dict(sorted(ids.items()))
        self.journal = Journal(self.folders.hospital(JOURNAL), self._settings())
        self.pending = [] if self.folders.is_published else self._plan()

    def _withdraw(
        self, withdrawn: str | Path | None, release_log: str | Path | None, previous_splits: str | Path | None
    ) -> None:
        self.withdrawn: list[str] = []
        self.release_log = None if release_log is None else Path(release_log)
        if withdrawn is None:
            return
        if self.release_log is None:
            raise ValueError("withdrawn needs release_log: name the release-log.jsonl of the earlier releases.")
        place = Path(os.path.realpath(self.release_log)).parent
        if not place.is_dir() and place != self.folders.hospital_dir:
            raise ValueError(
                f"The folder of release_log {str(release_log)!r} does not exist: name an earlier release's log."
            )
        known = {row.patient for row in self.cohort.rows}
        if previous_splits is not None:
            known |= set(read_splits(previous_splits))
        self.withdrawn = read_withdrawn(withdrawn, known)
        self.cohort = without(self.cohort, self.withdrawn)

    def _document(self, host_sha256: str, outcome: dict[str, Any] | None = None) -> dict[str, Any]:
        gone = tombstone(self.withdrawn, self._secret, self.recipe.release_id) if self.withdrawn else None
        return self.recipe.document(host_sha256, self.secret_kind, {"withdrawn": gone} | (outcome or {}))

    def _settings(self) -> dict[str, str]:
        known = self._document("")
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
            ValueError: when the store's place is taken by another release, another run is writing it, or the disk does
                not take it.
        """
        if self.dry_run:
            return report_dry_run(self, hide)
        with plain_storage_errors(lambda: "What is finished is kept: run the same command again."):
            return self._write(hide, host_sha256)

    def _write(self, hide: Callable[[], Any], host_sha256: str) -> None:
        if self.folders.is_published:
            return self._recognise(host_sha256)
        make_private_folder(self.folders.hospital_dir)
        with locked(self.folders.hospital_dir, BUSY):
            if self.folders.hospital(RELEASE).is_file() and not self.journal.path.is_file():
                raise ValueError(
                    "hospital_dir holds the release.json of another store: give each release its own folder."
                )
            (self.folders.partial / IMAGES).mkdir(parents=True, exist_ok=True)
            with locked(self.folders.partial, BUSY):
                if self.folders.is_published:  # another run ended while this one began
                    raise ValueError(BUSY)
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
            PhaseCheckError: when the phase check failed: then nothing is ever published.
        """
        if not check.passed:
            raise PhaseCheckError(
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
        release = to_json(self._document(host_sha256, outcome))
        self._write_linkage(rows)
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
        content = to_json(manifest)
        write_atomic(partial / MANIFEST, content, SHARED)
        even_out(partial)
        if self.withdrawn and self.release_log is not None:
            gone = tombstone(self.withdrawn, self._secret, self.recipe.release_id)
            gone |= {"release_id": self.recipe.release_id, "store": sha256(content).hexdigest()}
            log_withdrawal(self.release_log, gone, self.withdrawn, self.secret_file)
        if hasattr(os, "sync"):
            os.sync()  # the images were renamed without waiting for the disk
        os.replace(partial, self.folders.store_dir)
        flush_folder(self.folders.store_dir.parent)
        self.journal.path.unlink()

    def _write_linkage(self, rows: dict[str, CohortRow]) -> None:
        records = (
            {"id": name, "row": row.row, "split": self.splits[row.patient]} | _of_row(row) for name, row in rows.items()
        )
        content, place = to_csv(LINKAGE_COLUMNS, records), self.folders.hospital(LINKAGE)
        other = encrypted_path(place)
        if self.encrypt_linkage:
            content, place, other = encrypt(content, self._secret, self.recipe.release_id), other, place
        write_atomic(place, content)
        for stale in (other, other.with_name(f".{other.name}.new")):
            stale.unlink(missing_ok=True)

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
        held, asked = json.loads(release), json.loads(to_json(self._document(host_sha256)))
        changed = sorted(name for name, value in asked.items() if name != "software" and held.get(name) != value)
        if changed:
            raise ValueError(
                f"store_dir {str(self.folders.store_dir)!r} holds this release with another {' and '.join(changed)}: a"
                " published store is not changed; choose new folders, and another release_id for other ids."
            )
        self.journal.path.unlink(missing_ok=True)
        print("This release is published already; nothing was done.")


def _of_row(row: CohortRow) -> dict[str, str]:
    return {"patient": row.patient, "study": row.study, "label": row.label}
