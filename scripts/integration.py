"""Every integration in turn, each by its make target: ``make integration`` or ``python -m fesf.scripts.integration``.

A target makes the environment that its platform needs and runs its check, which writes ``docs/<target>.json``. A
component that is not installed, or an environment that cannot be installed, is a skip that is named; everything else
that ends with another status than 0 is a failure.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TARGETS = ("bundles", "mlflow", "gateway", "deploy", "label", "federated")
SKIPPED = re.compile(r"^skipped: (.*)$", re.MULTILINE)
"""What a check prints where a component is missing."""
MAKES_OWN = re.compile(r"make(\[\d+\])?: ")
"""A line that make prints of itself."""
UNINSTALLABLE = re.compile(
    r"^ERROR: (?:No matching distribution|Could not (?:find a version|install)).*$", re.MULTILINE
)
"""What pip prints where a package cannot be had."""


@dataclass(frozen=True)
class Outcome:
    """How a target ended.

    Args:
        target: its name.
        status: "ok", "skipped" or "FAILED".
        reason: what is missing, or the last line that was printed; empty where all is well.
        seconds: it took.
    """

    target: str
    status: str
    reason: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.status:8}{self.target:12}{self.seconds:6.0f} s  {self.reason}".rstrip()


def run_target(target: str, make: Sequence[str] = ("make",)) -> Outcome:
    """Run a target, showing what it prints.

    Args:
        target: of the Makefile.
        make: the command before it.
    """
    start, lines = time.monotonic(), []
    words = [*make, target, "ARGS="]  # make hands its own variables down, and these are for this command
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    return Outcome(target, *judge(process.returncode, "".join(lines)), time.monotonic() - start)


def judge(status: int, output: str) -> tuple[str, str]:
    """Status and reason of a target that ended.

    Args:
        status: make's exit status.
        output: all that was printed.
    """
    if status == 0:
        return "ok", ""
    skipped, uninstallable = SKIPPED.search(output), UNINSTALLABLE.search(output)
    if skipped:
        return "skipped", skipped[1]
    if uninstallable:
        return "skipped", f"its environment cannot be installed: {uninstallable[0].removeprefix('ERROR: ')}"
    printed = [line for line in output.splitlines() if line.strip() and not MAKES_OWN.match(line)]
    return "FAILED", printed[-1] if printed else f"status {status}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 1 where a target failed, 2 for a mistake; a skip is named and no failure."""
    parser = argparse.ArgumentParser(
        prog="python -m fesf.scripts.integration", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("targets", nargs="*", default=list(TARGETS), help=f"default: {', '.join(TARGETS)}")
    options = parser.parse_args(arguments)
    unknown = [target for target in options.targets if target not in TARGETS]
    if unknown or not Path("Makefile").is_file():
        cure = f"choose from {', '.join(TARGETS)}" if unknown else "run it from the root of the clone"
        print(f"error: {', '.join(unknown) or 'there is no Makefile here'}: {cure}.", file=sys.stderr)
        return 2
    outcomes = []
    for target in options.targets:
        print(f"=== {target}", flush=True)
        outcomes.append(run_target(target))
    print("\n" + "\n".join(map(str, outcomes)))
    return 1 if any(outcome.status == "FAILED" for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
