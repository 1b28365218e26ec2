"""The analyst's MONAI Deploy app: ``python -m fesf.scripts.deploy_app -i IN -o OUT -m MODEL``.

Takes a folder of surrogates as DICOM (``hide.json --output dicom``, or what a DICOM node received), runs the classifier
of an unpacked bundle, and writes ``predictions.csv`` as inference.json does and ``objects/<id>.dcm``, a DICOM
prediction object a surrogate. A file that is no surrogate ends the run before anything is classified. Needs the App
SDK (``make deploy``); in a container the folders come from HOLOSCAN_INPUT_PATH, _OUTPUT_PATH and _MODEL_PATH.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from fesf.scripts.deploy.runtime import prepare

LEVELS = ("DEBUG", "INFO", "WARN", "ERROR", "CRITICAL")


def run(source: str | Path, out: str | Path, model: str | Path, level: str = "ERROR") -> Path:
    """Run the app.

    Args:
        source: folder of surrogates.
        out: folder for the results, made where it is missing.
        model: folder of an unpacked bundle.
        level: what the SDK logs; "INFO" names the folders.

    Returns:
        Path of the table.

    Raises:
        ImportError: when the App SDK cannot be imported.
        ValueError: for a folder that cannot be used, an input that is no surrogate, or a bundle that does not fit.
    """
    prepare()  # before MONAI is imported
    from fesf.scripts.deploy.classifier import check_bundle
    from fesf.scripts.deploy.results import TABLE, check_out

    if not Path(source).is_dir():
        raise ValueError("The input is no folder: give the folder of the surrogates.")
    check_bundle(model)
    check_out(out).mkdir(parents=True, exist_ok=True)
    from fesf.scripts.deploy.app import SurrogateClassifier

    app = SurrogateClassifier(["-i", str(source), "-o", str(out), "-m", str(model), "-l", level])
    app.run()
    if app.faults:
        raise app.faults[0]
    if not (Path(out) / TABLE).is_file():
        raise ValueError("The app ended without a result: run it with --log-level INFO.")
    return Path(out) / TABLE


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of :func:`run`; 0 on success, 2 on a refused input."""
    parser = argparse.ArgumentParser(
        prog="python -m fesf.scripts.deploy_app",
        description="Classify a folder of DICOM surrogates with an unpacked bundle, as a MONAI Deploy app.",
    )
    for short, name, text in (
        ("-i", "input", "folder of surrogates"),
        ("-o", "output", "folder for predictions.csv and objects/"),
        ("-m", "model", "folder of an unpacked bundle with models/model.pt"),
    ):
        variable = f"HOLOSCAN_{name.upper()}_PATH"
        given = os.environ.get(variable)
        parser.add_argument(
            short, f"--{name}", metavar="DIR", default=given, required=not given, help=f"{text} (default: {variable})"
        )
    parser.add_argument(
        "-l", "--log-level", choices=LEVELS, default="ERROR", help="the SDK's log (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    try:
        table = run(options.input, options.output, options.model, options.log_level)
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"Written: {table} and prediction objects beside it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
