"""One failure and more at each stage: what is said of it, and what it leaves behind, is searched too."""

from __future__ import annotations

import csv
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from fesf.scripts.data.store_format import IMAGES

if TYPE_CHECKING:
    from fesf.scripts.canaries.run import Course

KILLED = -signal.SIGKILL
TOO_FAST = 1e30
"""A learning rate that makes the loss NaN."""


def fail_everywhere(course: Course) -> None:
    """Run every stage again, each with faults, into folders of their own.

    Raises:
        RuntimeError: when a stage that should fail does not.
    """
    _fail_to_read(course)
    _fail_to_hide(course)
    _fail_to_analyse(course)
    _fail_to_return(course)


def fail_quickly(course: Course) -> None:
    """The failure that would leak most, in some seconds."""
    course.hiding("hide-quoting", fault="quoting", on_bad_row="stop", expect=None)


def _fail_to_read(course: Course) -> None:
    root = course.root
    (root / "failed").mkdir(exist_ok=True)
    for fault, status in (("full disk", 2), ("killed", KILLED)):
        name = f"make_cohort-{fault.replace(' ', '-')}"
        course.cohort(name, f"failed/{name}.csv", fault=fault, expect=status)
    course.cohort("make_cohort-memory", "failed/memory.csv", fault="too little memory", memory=16, expect=None)
    labels = root / "failed" / "labels.csv"
    lines = (root / "labels.csv").read_text(encoding="utf-8").splitlines()
    labels.write_text("\n".join([*lines, lines[1].replace(",absent,", ",present,")]), encoding="utf-8")
    course.cohort("make_cohort-labels", "failed/a.csv", fault="labels that differ", labels=labels, expect=2)


def _fail_to_hide(course: Course) -> None:
    course.enhancing("enhance-quoting", fault="quoting", on_bad_row="stop", expect=None)
    course.enhancing("enhance-nan", fault="a loss that is not finite", content_weight="$float('nan')", expect=None)
    course.hiding("hide-quoting", fault="quoting", on_bad_row="stop", expect=None)
    course.hiding("hide-unreadable", fault="unreadable", on_bad_row="stop", expect=None)
    course.hiding("hide-quarantine", fault="quoting")
    course.hiding("hide-full-disk", fault="disk full later", expect=None)
    course.hiding("hide-killed", fault="killed", expect=KILLED)
    course.hiding("hide-worker-killed", fault="worker killed", num_workers=1, expect=None)
    for column in ("frame", "split"):
        shifted = _shift(course.root / "cohort.csv", course.root / f"shifted-{column}.csv", column)
        course.hiding(f"hide-shifted-{column}", fault="a name in another column", cohort=shifted, expect=None)
    splits = _shift(course.run.hospital / "splits.csv", course.root / "shifted-splits.csv", "split")
    course.hiding("hide-splits", fault="a name in another column", previous_splits=splits, expect=None)
    course.release("release-altered", _altered(course.run.store, course.root / "altered"), course.out / "altered.tar",
                   fault="an altered store", expect=1)  # fmt: skip
    course.release("release-full-disk", course.run.store, course.out / "full.tar", fault="full disk", expect=2)


def _fail_to_analyse(course: Course) -> None:
    altered = _altered(course.store, course.analyst / "altered")
    course.training("train-nan", fault="a loss that is not finite", learning_rate=TOO_FAST, expect=None)
    course.training("train-altered", fault="an altered store", dataset_dir=altered, expect=None)
    course.training("train-full-disk", fault="disk full later", expect=None, **course.tracked)
    course.training("train-killed", fault="killed", expect=KILLED, **course.tracked)
    course.evaluating("evaluate-altered", fault="an altered store", dataset_dir=altered, expect=None)
    course.evaluating("evaluate-full-disk", fault="full disk", expect=None)
    broken = course.analyst / "broken"
    shutil.copytree(course.analyst / "model" / "models", broken)
    (broken / "model.pt").write_bytes(b"no checkpoint")
    where = course.analyst / "infer-failed"
    course.inferring("infer-broken", fault="a broken checkpoint", ckpt_dir=broken, output_dir=where, expect=None)
    course.inferring("infer-full-disk", fault="full disk", output_dir=where, expect=None)


def _fail_to_return(course: Course) -> None:
    failed = course.root / "failed"
    unknown = failed / "predictions.csv"
    with open(course.run.predictions, encoding="utf-8", newline="") as file:
        first, second, *_ = csv.reader(file)
    unknown.write_text("\n".join([",".join(first), ",".join(["0" * 32, *second[1:]])]), encoding="utf-8")
    course.linking("link-unknown", failed / "a.csv", fault="an unknown id", predictions=unknown, expect=2)
    for column in ("id", "split"):
        linkage = _shift(course.run.hospital / "linkage.csv", failed / f"linkage-{column}.csv", column)
        course.linking(
            f"link-shifted-{column}", failed / "b.csv", fault="a name in another column", linkage=linkage, expect=2
        )
    course.linking("link-full-disk", failed / "c.csv", fault="full disk", expect=2)
    course.command("hospital", "report-unreadable", "fesf.scripts.report", "--run", course.root, fault="unreadable",
                   expect=2)  # fmt: skip
    course.command("hospital", "report-full-disk", "fesf.scripts.report", "--run", course.root, fault="full disk",
                   expect=2)  # fmt: skip


def _shift(table: Path, out: Path, column: str) -> Path:
    """A table in which one cell of the second row holds the patient's name, as after a comma without quotes."""
    with open(table, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows, header = list(reader), list(reader.fieldnames or [])
    header += [column] if column not in header else []
    rows[1][column] = rows[1]["patient"]
    with open(out, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, header, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return out


def _altered(store: Path, out: Path) -> Path:
    """A copy of a store of which every image has another last byte."""
    shutil.copytree(store, out)
    for path in (out / IMAGES).iterdir():
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    return out
