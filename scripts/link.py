"""Join predictions with the hospital's linkage: ``python -m fesf.scripts.link``.

The trusted end of the loop: predictions come back under keyed ids, ``linkage.csv`` knows whose they are. Where the
cohort has labels, metrics follow with intervals over patients. The predictions come from outside and are not believed:
every cell is checked before it is written.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fesf.scripts.data.comparison import format_metric
from fesf.scripts.data.files import PRIVATE, to_csv, to_json, write_atomic
from fesf.scripts.data.linkage import LINKAGE_COLUMNS, PREFIX, Linked, LinkError, Prediction, join, refuse_inside_store
from fesf.scripts.data.store import SECTIONS
from fesf.scripts.engines.metrics import METRICS, bootstrap, confusion_matrix

DRAWS = 1000


def _judge(
    labels: list[int], predictions: list[Prediction], patients: list[str], classes: int, seed: int
) -> dict[str, Any]:
    truth, decisions = np.array(labels), np.array([prediction.decision for prediction in predictions])
    probabilities = np.array([prediction.probabilities for prediction in predictions])
    return {
        "n": len(labels),
        "metrics": bootstrap(truth, probabilities, decisions, groups=patients, draws=DRAWS, seed=seed),
        "confusion_matrix": confusion_matrix(truth, decisions, classes),
    }


def _one_a_patient(items: list[tuple[str, int, Prediction]], classes: int) -> list[tuple[str, int, Prediction]]:
    """Patients whose images all carry one label: mean probabilities, most frequent decision (ties: the likelier)."""
    grouped: dict[str, list[tuple[int, Prediction]]] = defaultdict(list)
    for patient, label, prediction in items:
        grouped[patient].append((label, prediction))
    merged = []
    for patient, images in grouped.items():
        if len({label for label, _ in images}) > 1:
            continue
        mean = np.mean([prediction.probabilities for _, prediction in images], axis=0)
        votes = np.bincount([prediction.decision for _, prediction in images], minlength=classes)
        decision = max(range(classes), key=lambda k: (votes[k], mean[k]))
        merged.append((patient, images[0][0], Prediction(tuple(mean.tolist()), decision)))
    return merged


def evaluate(linked: Linked, seed: int = 0) -> dict[str, Any]:
    """Metrics of each split that has labels, with 95 % intervals from a bootstrap over patients.

    Args:
        linked: from :func:`join`.
        seed: of the bootstrap.

    Returns:
        ``{"class_names", "bootstrap", "confidence", "seed", "splits": {split: {"n_images", "n_patients", "images":
        {...}, "patients": {...}}}}``: "images" counts every image; "patients" has one row a patient, whose images all
        carry one label ("n_mixed" counts the others). Both hold "n", "metrics" and "confusion_matrix".
    """
    classes = len(linked.class_names)
    splits: dict[str, Any] = {}
    for split in SECTIONS:
        items = [
            (row["patient"], linked.class_names.index(row["label"]), prediction)
            for row, prediction in linked.rows
            if row["split"] == split and row["label"]
        ]
        if not items:
            continue
        merged = _one_a_patient(items, classes)
        patients = len({patient for patient, _, _ in items})
        blocks: dict[str, Any] = {"n_images": len(items), "n_patients": patients, "n_mixed": patients - len(merged)}
        for name, judged in (("images", items), ("patients", merged)):
            if judged:
                of, labels, predictions = (list(column) for column in zip(*judged, strict=True))
                blocks[name] = _judge(labels, predictions, of, classes, seed)
        splits[split] = blocks
    return {"class_names": linked.class_names, "bootstrap": DRAWS, "confidence": 0.95, "seed": seed, "splits": splits}


def summary(result: dict[str, Any]) -> str:
    """The metrics as text, one split after the other; says so where there are none."""
    if not result["splits"]:
        return "No labels in the linkage: predictions joined, nothing to measure."
    lines = []
    for split, blocks in result["splits"].items():
        seen = " (the classifier was fitted or tuned on these)" if split != "test" else ""
        lines.append(
            f"{split}{seen}: {blocks['n_images']} images of {blocks['n_patients']} patients; intervals: 95 % bootstrap "
            f"over patients; by patient without the {blocks['n_mixed']} whose images carry different labels"
        )
        lines.append(f"  {'':18}{'by image':<24}by patient")
        for name in METRICS:
            cells = [
                format_metric(blocks[of]["metrics"][name]) if of in blocks else "-" for of in ("images", "patients")
            ]
            lines.append(f"  {name:<18}{cells[0]:<24}{cells[1]}")
    return "\n".join(lines)


def link(
    predictions: str | Path,
    linkage: str | Path,
    out: str | Path,
    seed: int = 0,
    secret_file: str | Path | None = None,
) -> dict[str, Any]:
    """Join, write the table and the metrics, both 0600 and at once.

    Args:
        predictions: what inference.json or evaluate.json wrote.
        linkage: the hospital's ``linkage.csv``.
        out: table to write; the metrics go beside it, with the suffix ``.metrics.json``.
        seed: of the bootstrap.
        secret_file: the hospital's secret for an encrypted linkage; None reads the environment.

    Returns:
        What :func:`evaluate` returns.

    Raises:
        LinkError: when the tables cannot be joined, or ``out`` lies in a store or is one of the inputs.
    """
    out = Path(out)
    refuse_inside_store(out)
    if out.resolve() in (Path(predictions).resolve(), Path(linkage).resolve()):
        raise LinkError(f"out {str(out)!r} is one of the inputs: name another file.")
    if not out.parent.is_dir():
        raise LinkError(f"out {str(out)!r}: its folder does not exist.")
    linked = join(predictions, linkage, secret_file)
    result = evaluate(linked, seed)
    columns = [*LINKAGE_COLUMNS, *(PREFIX + name for name in linked.class_names), "decision"]
    table = (
        row
        | {PREFIX + name: repr(value) for name, value in zip(linked.class_names, prediction.probabilities, strict=True)}
        | {"decision": linked.class_names[prediction.decision]}
        for row, prediction in linked.rows
    )
    write_atomic(out, to_csv(columns, table), PRIVATE)
    write_atomic(metrics_path(out), to_json(result), PRIVATE)
    return result


def metrics_path(out: str | Path) -> Path:
    """Where :func:`link` puts the metrics: ``linked.csv`` gives ``linked.metrics.json``."""
    return Path(out).with_suffix(".metrics.json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of :func:`link`; 0 on success, 2 on a refused input."""
    parser = argparse.ArgumentParser(
        prog="python -m fesf.scripts.link",
        description="Join predictions with the linkage inside the hospital; the result names patients and stays.",
    )
    parser.add_argument("--predictions", required=True, metavar="CSV", help="id, p_<class>..., decision")
    parser.add_argument(
        "--linkage", required=True, metavar="CSV", help="linkage.csv (or .csv.enc) of the hospital folder"
    )
    parser.add_argument("--out", required=True, metavar="CSV", help="table to write (0600), never inside a store")
    parser.add_argument(
        "--secret-file", metavar="FILE", help="the secret, for an encrypted linkage (default: FESF_SECRET)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        result = link(options.predictions, options.linkage, options.out, options.seed, options.secret_file)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(summary(result))
    print(f"Written: {options.out} and {metrics_path(options.out)} (they name patients: keep them in the hospital)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
