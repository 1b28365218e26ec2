"""The page that a run ends with: ``python -m fesf.scripts.report --run run`` writes ``run/report/index.html``.

One file without outside resources. It shows plaintexts, so it stays in the hospital. Of a synthetic demo run,
``--pictures DIR`` also writes the pictures that documentation shows.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import math
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from numpy.typing import NDArray

from fesf.scripts.data import pictures
from fesf.scripts.data.cohort import LoadImageCohortd, load_datalist
from fesf.scripts.data.comparison import TITLES, comparison, format_metric, read_json, read_scores
from fesf.scripts.data.files import make_private_folder, write_atomic
from fesf.scripts.data.intensity import kept_rule
from fesf.scripts.data.linkage import read_linkage, refuse_inside_store
from fesf.scripts.data.pictures import embed
from fesf.scripts.data.plan import ABLATIONS
from fesf.scripts.data.provenance import versions
from fesf.scripts.data.run_folder import RunFolder
from fesf.scripts.data.steps import read_markers
from fesf.scripts.data.store import LoadImageStored
from fesf.scripts.data.store import load_datalist as load_stored
from fesf.scripts.engines.metrics import METRICS

IMAGES = ("floor", "plaintext", "host", "synthetic", "enhanced", "surrogate")  # from the floor on
SHOWN = 6  # patients with pictures
JUDGED = 200  # test images whose likeness is measured
SOFTWARE = ("fesf", "monai", "torch", "pytorch-ignite", "numpy", "scikit-learn", "scikit-image", "pillow", "nibabel")

Image = NDArray[np.float64]


class ReportError(ValueError):
    """A run is not complete enough for a report."""


def find_host(hosts: str | Path, sha256: str) -> Path:
    """The host of a release in its pool, by the digest that release.json names.

    Raises:
        ReportError: when no file has the digest.
    """
    for path in sorted(Path(hosts).glob("*")):
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
            return path
    raise ReportError(f"No file in hosts {str(hosts)!r} is the release's host: point it at the folder that was used.")


class Stages:
    """Host, plaintext and every stage of the run's test images.

    Args:
        folder: the run.
    """

    def __init__(self, folder: RunFolder) -> None:
        settings, release = folder.settings(), read_json(folder.hospital / "release.json")
        self.alpha = float(release["alpha"])
        splits = folder.hospital / "splits.csv"
        size, rule = settings["image_size"], kept_rule(settings["intensity_range"], splits)
        read = {name: settings[name] for name in ("pixel_spacing", "mask_text") if name in settings}
        self._plain = LoadImageCohortd("image", size, rule, **read)
        host = find_host(settings["hosts"], release["host_sha256"])
        self.host = _array(LoadImageCohortd("image", size, rule, hosts=True).prepare(str(host)))
        cohort = load_datalist(settings["cohort"], splits, "test")
        self._cohort: dict[int, dict[Any, Any]] = {item["row"]: item for item in cohort}
        self._stores = {"surrogate": _Stored(folder.store, folder.hospital)}
        if "iqem" in settings["kinds"]:
            arms = {stage: folder.ablation(arm) for arm, stage in ABLATIONS.items()}
            stores = {stage: _Stored(place / "store", place / "hospital") for stage, place in arms.items()}
            self._stores = stores | self._stores
        linkage = read_linkage(folder.hospital / "linkage.csv").values()
        self.rows = [row for row in linkage if self._has(int(row["row"]))]

    def _has(self, number: int) -> bool:
        return number in self._cohort and all(number in store.items for store in self._stores.values())

    def images(self, row: Mapping[str, str]) -> dict[str, Image]:
        """Host, plaintext and stages of a row of the linkage, in [0, 1]; the surrogate comes last."""
        number = int(row["row"])
        plain = _array(self._plain(self._cohort[number])["image"])
        stages = {name: store.image(number) for name, store in self._stores.items()}
        return {"host": self.host, "plaintext": plain} | stages

    def chosen(self, count: int) -> list[dict[str, str]]:
        """One image of each of ``count`` patients, classes in turn, in the order of the keyed ids: nobody picks."""
        queues: dict[str, list[dict[str, str]]] = {}
        seen: set[str] = set()
        for row in self.rows:
            queues.setdefault(row["label"], []).append(row)
        chosen: list[dict[str, str]] = []
        while len(chosen) < count and any(queues.values()):
            for label in sorted(queues):
                while queues[label]:
                    row = queues[label].pop(0)
                    if row["patient"] not in seen:
                        seen.add(row["patient"])
                        chosen.append(row)
                        break
        return chosen[:count]

    def views(self, row: Mapping[str, str]) -> dict[str, bytes]:
        """PNG of host, plaintext and stages, and of their spectra (``..._spectrum``) on one scale."""
        flat = {name: pictures.middle_slice(image) for name, image in self.images(row).items()}
        low, high = pictures.amplitude_range(list(flat.values()))
        views = {name: pictures.to_png(image) for name, image in flat.items()}
        spectra = {name: pictures.spectrum(image, self.alpha, low, high) for name, image in flat.items()}
        return views | {f"{name}_spectrum": pictures.to_png(image) for name, image in spectra.items()}


class _Stored:
    """A store's test images by their row in the cohort."""

    def __init__(self, store: Path, hospital: Path) -> None:
        self._load = LoadImageStored("image", store)
        rows = {row["id"]: int(row["row"]) for row in read_linkage(hospital / "linkage.csv").values()}
        self.items = {rows[item["id"]]: item for item in load_stored(store, "test")}

    def image(self, number: int) -> Image:
        return _array(self._load(self.items[number])["image"])


def _array(image: Any) -> Image:
    return np.asarray(image[0], dtype=np.float64)


def onlooker(stages: Stages, rows: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Mean SSIM and PSNR over test images: what one sees who lays an image beside the plaintext or the host.

    Returns:
        One dict a pair of images: "pair", and "ssim", "psnr" with mean and standard deviation as text.
    """
    values: dict[str, list[dict[str, float]]] = {}
    for row in rows:
        images = stages.images(row)
        hidden = [name for name in reversed(images) if name not in ("host", "plaintext")]
        pairs = [(name, other) for other in ("plaintext", "host") for name in hidden]
        for one, other in [*pairs, ("host", "plaintext")]:
            values.setdefault(f"{one} and {other}", []).append(pictures.similarity(images[one], images[other]))
    values["host and plaintext (no embedding: the floor)"] = values.pop("host and plaintext")
    return [
        {"pair": name} | {key: _spread([item[key] for item in items]) for key in ("ssim", "psnr")}
        for name, items in values.items()
    ]


def _spread(values: Sequence[float]) -> str:
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return "equal"
    digits = 1 if max(finite) > 2 else 3
    return f"{np.mean(finite):.{digits}f} ± {np.std(finite):.{digits}f}"


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _versions() -> dict[str, str]:
    return {"system": f"{platform.system()} {platform.machine()}"} | versions(SOFTWARE)


def charts(folder: RunFolder, class_names: Sequence[str]) -> dict[str, str]:
    """Learning curves, ROC and reliability of both classifiers, as data URIs."""
    places = {"plaintext": folder.plaintext, "surrogate": folder.surrogate}
    histories = {kind: _rows(place / "eval" / "history.csv") for kind, place in places.items()}
    best = {kind: read_json(place / "models" / "operating_point.json")["epoch"] for kind, place in places.items()}
    tables = {"plaintext": folder.plaintext / "eval" / "predictions_test.csv", "surrogate": folder.linked}
    scores = {kind: read_scores(path, class_names) for kind, path in tables.items()}
    drawn = {
        "curves": pictures.draw_curves(histories, best),
        "roc": pictures.draw_roc_overlay(scores, class_names),
        "reliability": pictures.draw_reliability_overlay(scores),
    }
    return {name: embed(content, "svg+xml") for name, content in drawn.items()}


def quality(folder: RunFolder) -> dict[str, Any]:
    """Distances to the host domain, the generator's learning curve and its last sheet of pictures.

    Raises:
        FileNotFoundError: when a part is missing.
    """
    found: dict[str, Any] = read_json(folder.quality)
    rows = _rows(folder.generator / "history.csv")
    kept = read_json(folder.generator / "distance.json")
    sheets = sorted((folder.generator / "pictures").glob("epoch_*.png"))
    found["distance"] = {name: found["distance"][name] for name in IMAGES if name in found["distance"]}
    return found | {
        "validation": kept,
        "epochs": len(rows),
        "curve": embed(pictures.draw_distance(rows, kept), "svg+xml"),
        "sheet": embed(sheets[-1].read_bytes(), "png") if sheets else None,
    }


def context(folder: RunFolder) -> dict[str, Any]:
    """Everything that the page shows.

    Args:
        folder: a run whose evaluations and link are done.

    Raises:
        ReportError: when a part of the run is missing.
    """
    settings = folder.settings()
    try:
        table, stages = comparison(folder), Stages(folder)
        drawn = charts(folder, table["class_names"])
        release = read_json(folder.hospital / "release.json")
        judged_quality = quality(folder) if "iqem" in table["kinds"] else None
    except FileNotFoundError as error:
        missing = error.filename or error
        raise ReportError(f"The run lacks {str(missing)!r}: let python -m fesf.scripts.pipeline finish.") from None
    patients = []
    for row in stages.chosen(SHOWN):
        images = stages.images(row)
        views = {name: embed(content, "png") for name, content in stages.views(row).items()}
        likeness = pictures.similarity(images["surrogate"], images["plaintext"])
        patients.append({"label": row["label"], "names": list(images), "views": views} | likeness)
    judged = stages.rows[:JUDGED]
    markers = read_markers(folder.root, [name for name in settings["steps"] if name != "report"])
    return {
        "demo": settings["demo"],
        "settings": settings,
        "table": table,
        "metrics": METRICS,
        "kinds": table["kinds"],
        "titles": TITLES,
        "quality": judged_quality,
        "patients": patients,
        "onlooker": onlooker(stages, judged),
        "judged": len(judged),
        "charts": drawn,
        "release": release,
        "steps": markers,
        "versions": _versions(),
    }


def render(values: Mapping[str, Any]) -> str:
    """The page as HTML; every value is escaped."""
    loader = FileSystemLoader(Path(__file__).parent / "templates")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.lstrip_blocks = True
    environment.filters["metric"] = format_metric
    return environment.get_template("report.html").render(values)


def write_report(run: str | Path) -> Path:
    """Write ``report/index.html`` (0600) of a run.

    Args:
        run: folder of the run.

    Returns:
        The page's path.

    Raises:
        ReportError: when the run is not complete.
        ValueError: when the folder is not a run's, or lies in a store.
    """
    folder = RunFolder(Path(run))
    refuse_inside_store(folder.report)
    page = render(context(folder))
    make_private_folder(folder.report.parent)
    write_atomic(folder.report, page.encode())
    return folder.report


def write_pictures(run: str | Path, out: str | Path) -> list[Path]:
    """Host, plaintext, every stage and their spectra of one test patient of the synthetic demo, for documentation.

    Raises:
        ReportError: when the run is not the demo's: a patient's picture must not go into documentation.
    """
    folder = RunFolder(Path(run))
    if not folder.settings()["demo"]:
        raise ReportError(f"{str(run)!r} is not the synthetic demo: pictures of patients stay in its report.")
    stages, out = Stages(folder), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, content in stages.views(stages.chosen(2)[-1]).items():
        written.append(out / f"{name}.png")
        write_atomic(written[-1], content, 0o644)
    return written


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of :func:`write_report` and :func:`write_pictures`; 2 when the run cannot be reported."""
    parser = argparse.ArgumentParser(prog="python -m fesf.scripts.report", description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("run"), metavar="DIR", help="folder of a finished run")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="also write pictures of the synthetic demo here")
    options = parser.parse_args(arguments)
    try:
        print(f"Report (it stays in the hospital): {write_report(options.run)}")
        if options.pictures:
            for path in write_pictures(options.run, options.pictures):
                print(f"Picture: {path}")
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
