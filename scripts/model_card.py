"""The model card and the performance table: ``python -m fesf.scripts.model_card`` writes them into ``bundle/docs``.

Figures come from ``docs/results.csv`` (``reproduce``) and ``docs/privacy.json`` (``privacy``) and are typed nowhere.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fesf.scripts.audit.short_table import SHORT, measured, short_table
from fesf.scripts.audit.threats import HOLDS
from fesf.scripts.data.files import SHARED, write_atomic
from fesf.scripts.data.grid import ARMS, CNN
from fesf.scripts.data.results_page import TITLES
from fesf.scripts.data.text_page import table

TEMPLATE = Path(__file__).parent / "templates" / "model_card.md"
METRICS = {"auc": "AUC", "balanced_accuracy": "balanced accuracy"}
START, END = "<!-- written by python -m fesf.scripts.model_card -->", "<!-- end -->"
CAPTION = (
    "Small network, test images of patients that it was not trained on; mean ± standard deviation over folds or seeds."
)


def accuracy_table(rows: Sequence[Mapping[str, str]]) -> str:
    """AUC and balanced accuracy of each set and arm, mean ± standard deviation over runs.

    Args:
        rows: of ``results.csv``; other networks than the small one are left out.
    """
    found: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["network"] == CNN and row["arm"] in ARMS:
            for metric in METRICS:
                found[row["set"], metric][row["arm"]].append(float(row[metric]))
    lines = [
        [name, METRICS[metric], len(arms["plaintext"]), *(_spread(arms[arm]) for arm in ARMS)]
        for (name, metric), arms in found.items()
    ]
    return table(["set", "metric", "runs", *(TITLES[arm] for arm in ARMS)], lines)


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "-"
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{spread}"


def commits(rows: Sequence[Mapping[str, str]]) -> str:
    """The commits at which rows of ``results.csv`` were computed."""
    return ", ".join(sorted({row["commit"][:7] for row in rows if row["network"] == CNN}))


def card(rows: Sequence[Mapping[str, str]], privacy: Mapping[str, Any]) -> str:
    """The card as Markdown, from ``results.csv`` and ``privacy.json``."""
    audits = [audit for arms in privacy["sets"].values() for audit in arms.values()]
    letters = {letter for audit in audits for attack in SHORT if measured(audit, attack)
               for letter in audit["results"][attack]["letters"]}  # fmt: skip
    return TEMPLATE.read_text(encoding="utf-8").format(
        caption=CAPTION,
        commits=commits(rows),
        accuracy=accuracy_table(rows),
        attacks=short_table(privacy["sets"]),
        audit_command=privacy["command"],
        audit_commit=privacy["commit"][:7],
        letters="\n".join(f"- ({letter}) {text}" for letter, text in HOLDS.items() if letter in letters),
    )


def with_table(page: str, rows: Sequence[Mapping[str, str]]) -> str:
    """The bundle's page with the table between its marks replaced.

    Raises:
        ValueError: when the marks are not there, once and in order.
    """
    before, start, rest = page.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise ValueError(
            f"bundle/docs/README.md has no '{START}' followed by '{END}': put both where the table belongs."
        )
    return f"{before}{START}\n{CAPTION}\nComputed at commit {commits(rows)}.\n\n{accuracy_table(rows)}\n{END}{after}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m fesf.scripts.model_card", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--figures", type=Path, default=Path("docs"), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=Path("bundle/docs"), metavar="DIR", help="default: %(default)s")
    options = parser.parse_args(arguments)
    try:
        with open(options.figures / "results.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        privacy = json.loads((options.figures / "privacy.json").read_bytes())
        page = with_table((options.out / "README.md").read_text(encoding="utf-8"), rows)
        write_atomic(options.out / "README.md", page.encode(), SHARED)
        write_atomic(options.out / "model_card.md", card(rows, privacy).encode(), SHARED)
    except (OSError, ValueError, KeyError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
