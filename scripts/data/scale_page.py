"""The page on releases of any size, from what ``bench_scale`` measured: slopes, and ten million images on paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fesf.scripts.data.store_format import DATASET, MANIFEST
from fesf.scripts.data.text_page import table

TEMPLATE = Path(__file__).parents[1] / "templates" / "scale.md"
PAPER = 10_000_000
FILE_BYTES = 40_000
"""Of an 8-bit PNG of 224 x 224, about: what a digest reads."""


def slope(sizes: Sequence[int], values: Sequence[float]) -> float:
    """What one image more costs, between the two largest sizes."""
    return (values[-1] - values[-2]) / (sizes[-1] - sizes[-2])


def growth(sizes: Sequence[int], values: Sequence[float]) -> float:
    """The last slope over the one before: 1 is linear, above it grows faster.

    >>> growth([1, 2, 3], [1.0, 4.0, 9.0])
    1.6666666666666667
    """
    return slope(sizes, values) / slope(sizes[:-1], values[:-1])


def on_paper(sizes: Sequence[int], values: Sequence[float], images: int) -> float:
    """The straight line through the two largest sizes, at ``images``.

    >>> on_paper([10, 20, 30], [0.0, 5.0, 10.0], 100)
    45.0
    """
    return values[-1] + slope(sizes, values) * (images - sizes[-1])


def duration(seconds: float) -> str:
    """Seconds as a person says them.

    >>> duration(0.123), duration(42.4), duration(600), duration(36_000)
    ('0.12 s', '42 s', '10.0 min', '10.0 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def page(document: Mapping[str, Any]) -> str:
    """The page as Markdown.

    Args:
        document: what ``scale.json`` holds: three sizes or more, growing.
    """
    measured = document["sizes"]
    sizes = [each["images"] for each in measured]

    def paper(part: str, name: str) -> float:
        return on_paper(sizes, [each[part][name] for each in measured], PAPER)

    spent = document["cluster"]["processor_ms"]
    slowest = max(("client", "scheduler"), key=lambda name: spent[name])
    values: dict[str, Any] = {name: document[name] for name in ("command", "commit")}
    values |= {name: document["machine"][name] for name in ("processor", "cores")}
    values |= {"memory": document["machine"]["memory_gib"], "load": document["load_average"][0]}
    values |= {"versions": ", ".join(f"{name} {version}" for name, version in document["software"].items())}
    values |= {"sizes": ", ".join(f"{size:,}" for size in sizes), "growth_table": _growth_table(sizes, measured)}
    values |= {"digests": f"{PAPER * FILE_BYTES / 1e9:,.0f} GB", "cluster_images": document["cluster"]["images"]}
    values |= {"cluster_table": _cluster_table(spent), "slowest": f"the {slowest}"}
    values |= {"workers": round(spent["worker"] / spent[slowest]), "hours": duration(PAPER * spent[slowest] / 1000)}
    values |= {"slow_workers": f"{1000 / spent[slowest]:,.0f}"}
    values |= {"core_hours": f"{PAPER * sum(spent[name] for name in ('client', 'scheduler', 'worker')) / 3.6e6:.0f}"}
    values |= {"manifest_bytes": round(slope(sizes, [each["bytes"][MANIFEST] for each in measured]))}
    values |= {"manifest_gb": f"{paper('bytes', MANIFEST) / 1e9:.1f}"}
    values |= {"dataset_gb": f"{paper('bytes', DATASET) / 1e9:.1f}"}
    values |= {"open_minutes": duration(paper("seconds", "open"))}
    memory = (("training", "training"), ("verify", "verify_store"), ("client", "client"))
    values |= {f"{short}_gb": f"{paper('memory_mb', name) / 1024:.0f}" for short, name in memory}
    return TEMPLATE.read_text(encoding="utf-8").format(**values)


def _growth_table(sizes: Sequence[int], measured: Sequence[Mapping[str, Any]]) -> str:
    header = ["", *(f"{size:,}" for size in sizes), "growth", f"{PAPER:,} on paper"]
    rows = []
    for part, unit in (("seconds", duration), ("memory_mb", _megabytes), ("bytes", _bytes)):
        for name in measured[0][part]:
            values = [each[part][name] for each in measured]
            title = f"{name} memory" if part == "memory_mb" else name
            cells = [unit(value) for value in values] + [f"{growth(sizes, values):.2f}"]
            rows.append([title, *cells, unit(on_paper(sizes, values, PAPER))])
    return table(header, rows)


def _megabytes(value: float) -> str:
    return f"{value:,.0f} MiB"


def _bytes(value: float) -> str:
    return f"{value / 1e6:,.1f} MB"


def _cluster_table(spent: Mapping[str, float]) -> str:
    titles = {
        "worker": "worker",
        "client": "client",
        "scheduler": "scheduler",
        "one_process": "without Dask, one process",
    }
    return table(["", "ms an image"], [[title, f"{spent[name]:.2f}"] for name, title in titles.items()])
