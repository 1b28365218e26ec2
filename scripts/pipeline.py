"""From a cohort to a classifier that never saw it, and a report: ``python -m fesf.scripts.pipeline --out run``.

Each step is a command that a user could type; the report lists them. Steps that are done are skipped on a rerun.
Without ``--cohort`` it makes the synthetic demo cohort.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from fesf.scripts.data.cohort import class_names
from fesf.scripts.data.comparison import comparison, format_table
from fesf.scripts.data.files import make_private_folder
from fesf.scripts.data.linkage import refuse_inside_store
from fesf.scripts.data.plan import ABLATIONS, NETWORKS, Plan, demo_steps, main_steps, parse_value, sources
from fesf.scripts.data.run_folder import RunFolder
from fesf.scripts.data.steps import Runner, StepError, read_markers

DEMO_IQEM = ("epochs=10",)
"""The demo's generator trains a third as long as enhance.json's default: two cores wait minutes."""


def run(plan: Plan, install_seconds: float = 0.0) -> str:
    """Run the whole plan.

    Args:
        plan: what to do.
        install_seconds: how long the installation took, for the report.

    Returns:
        The closing text: table, report, seconds a step.

    Raises:
        StepError: when a step fails.
        ValueError: when the plan cannot be carried out.
    """
    start = time.monotonic()
    refuse_inside_store(plan.out / "run.json")
    plan.out.mkdir(parents=True, exist_ok=True)
    make_private_folder(plan.folder.report.parent)
    runner, first = Runner(plan.out, plan.jobs), demo_steps(plan)
    runner.run(first)
    cohort, hosts, secret = sources(plan)
    if plan.cohort is not None and plan.secret_file is None:
        print(f"  Secret: {secret} (random, 0600). Keep it: without it this release's ids cannot be made again.")
    names = class_names(cohort)
    if len(names) < 2:
        raise ValueError(f"The cohort has {len(names)} class(es) ({', '.join(names)}): a classifier needs two or more.")
    steps = main_steps(plan, len(names))
    plan.folder.save_settings(
        {
            "cohort": str(cohort),
            "hosts": str(hosts),
            "demo": plan.cohort is None,
            "image_size": list(plan.image_size),
            "intensity_range": plan.images.get("intensity_range"),
            "pixel_spacing": plan.images.get("pixel_spacing"),
            "mask_text": plan.images.get("mask_text", False),
            "network": plan.network or "default",
            "kinds": ["plaintext", *(ABLATIONS if plan.iqem else ()), "surrogate", "majority"],
            "install_seconds": install_seconds,
            "steps": [step.name for step in (*first, *steps)],
        }
    )
    runner.run(steps)
    return closing(plan.folder, time.monotonic() - start, install_seconds)


def closing(folder: RunFolder, seconds: float, install_seconds: float = 0.0) -> str:
    """The table, the report's path and the seconds of each step, as text."""
    table = comparison(folder)
    markers = read_markers(folder.root, folder.settings()["steps"])
    lines = [
        "",
        format_table(table),
        "",
        f"Report (it shows plaintexts: it stays in the hospital): {folder.report}",
        "",
    ]
    if folder.settings()["demo"]:
        lines.insert(1, "SYNTHETIC demo cohort: these figures say nothing about real images.")
    titles = [("Install", install_seconds)] if install_seconds else []
    titles += [(marker["title"], marker["seconds"]) for marker in markers]
    lines += [f"  {title:<46}{value:>7.1f} s" for title, value in titles]
    lines.append(f"  {'This call (steps overlap, done ones skipped)':<46}{seconds:>7.1f} s")
    return "\n".join(lines)


def parse(arguments: Sequence[str] | None = None) -> tuple[Plan, float]:
    """The command line as a plan, and the seconds of the installation."""
    parser = argparse.ArgumentParser(prog="python -m fesf.scripts.pipeline", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("run"), metavar="DIR", help="folder of the run (default: run)")
    parser.add_argument("--cohort", type=Path, metavar="CSV", help="your cohort.csv; without it the synthetic demo")
    parser.add_argument("--hosts", type=Path, metavar="DIR", help="public host images, with --cohort")
    parser.add_argument(
        "--secret-file", type=Path, metavar="FILE", help="the hospital's secret (default: a random one)"
    )
    parser.add_argument(
        "--image-size", type=int, nargs="+", default=[64], metavar="N", help="1 to 3 lengths (default: 64)"
    )
    parser.add_argument(
        "--intensity-range",
        nargs="+",
        type=parse_value,
        metavar="RULE",
        help="LOW HIGH, which become 0 and 1; window; '{\"percentiles\": [0.5, 99.5]}' (default: what files can hold)",
    )
    parser.add_argument(
        "--pixel-spacing", type=float, nargs="+", metavar="MM", help="resample to it: one an axis, or 1"
    )
    parser.add_argument(
        "--mask-text", action="store_true", default=None, help="find text in the images and cover it (extra text)"
    )
    parser.add_argument("--alpha", type=float, help="half-width of the band, 0 to 0.5 (default: hide.json's)")
    parser.add_argument("--beta", type=float, help="the plaintext's share, 0 to 1 (default: hide.json's)")
    parser.add_argument("--epochs", type=int, help="(default: train.json's)")
    parser.add_argument("--patients", type=int, help="size of the demo cohort (default: make_demo's)")
    parser.add_argument("--seed", type=int, default=0, help="of demo, splits and training (default: 0)")
    parser.add_argument("--network", choices=NETWORKS, help="instead of the small CNN")
    parser.add_argument("--no-iqem", action="store_true", help="hide once: no generator, no second pass, no ablations")
    parser.add_argument(
        "--enhance-option", action="append", default=[], metavar="NAME=VALUE", help="any id of enhance.json"
    )
    parser.add_argument("--hide-option", action="append", default=[], metavar="NAME=VALUE", help="any id of hide.json")
    parser.add_argument(
        "--train-option", action="append", default=[], metavar="NAME=VALUE", help="any id of train.json"
    )
    parser.add_argument("--jobs", type=int, choices=(1, 2), help="steps at once (default: 2 where there are 2 cores)")
    parser.add_argument("--install-seconds", type=float, default=0.0, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    size = tuple(options.image_size) * 2 if len(options.image_size) == 1 else tuple(options.image_size)
    given = [f"{name}={value}" for name in ("alpha", "beta") if (value := getattr(options, name)) is not None]
    trained = [f"epochs={options.epochs}"] if options.epochs is not None else []
    spacing, rule = options.pixel_spacing, options.intensity_range
    try:
        plan = Plan(
            out=options.out,
            cohort=options.cohort,
            hosts=options.hosts,
            secret_file=options.secret_file,
            image_size=size,
            intensity_range=rule[0] if rule and len(rule) == 1 else rule,
            pixel_spacing=spacing * len(size) if spacing and len(spacing) == 1 else spacing,
            mask_text=options.mask_text,
            patients=options.patients,
            seed=options.seed,
            network=options.network,
            iqem=not options.no_iqem,
            enhance_options=(*DEMO_IQEM, *options.enhance_option)
            if options.cohort is None
            else tuple(options.enhance_option),
            hide_options=(*given, *options.hide_option),
            train_options=(*trained, *options.train_option),
            jobs=options.jobs or min(2, os.cpu_count() or 1),
        )
    except ValueError as error:
        parser.error(str(error))
    return plan, options.install_seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of :func:`run`; 0 when all is done, 1 when a step failed."""
    plan, install_seconds = parse(arguments)
    try:
        print(run(plan, install_seconds))
    except (StepError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; the same command goes on from the last finished step.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
