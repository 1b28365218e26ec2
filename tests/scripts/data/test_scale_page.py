"""The page on scale: slopes and straight lines, and each figure where it belongs."""

from __future__ import annotations

import pytest

from fesf.scripts.data.scale_page import duration, growth, on_paper, page, slope

SIZES = [10, 20, 40]


def test_a_straight_line_through_the_two_largest() -> None:
    values = [100.0, 110.0, 150.0]
    assert slope(SIZES, values) == 2.0
    assert growth(SIZES, values) == 2.0
    assert on_paper(SIZES, values, 140) == 350.0


@pytest.mark.parametrize(("seconds", "text"), [(0.0123, "0.012 s"), (42.4, "42 s"), (600, "10.0 min"), (9000, "2.5 h")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def sizes(scale: float) -> dict[str, object]:
    """A release of ``1000 * scale`` images, each part in proportion."""
    names = {
        "seconds": {"plan": 0.1, "write": 0.5, "publish": 0.2, "open": 0.036, "verify": 0.3},
        "memory_mb": {"client": 1.8, "training": 1.2, "verify_store": 1.6},
        "bytes": {"manifest.json": 150_000, "dataset.json": 80_000, "linkage.csv": 70_000},
    }
    return {"images": round(1000 * scale)} | {
        part: {name: value * scale for name, value in held.items()} for part, held in names.items()
    }


def test_ten_million_images(capsys: pytest.CaptureFixture[str]) -> None:
    spent = {"worker": 12.0, "client": 0.5, "scheduler": 0.8, "one_process": 11.0}
    text = page(
        {
            "command": "python -m x",
            "commit": "abc",
            "machine": {"processor": "P", "cores": 2, "memory_gib": 16.0},
            "software": {"torch": "2"},
            "load_average": [0.5, 1.0],
            "cluster": {"images": 126, "processor_ms": spent},
            "sizes": [sizes(1), sizes(2), sizes(4)],
        }
    )
    assert "releases of 1,000, 2,000, 4,000 images" in text
    assert "| write | 0.5 s | 1 s | 2 s | 1.00 | 83.3 min |" in text
    assert "| client memory | 2 MiB | 4 MiB | 7 MiB | 1.00 | 18,000 MiB |" in text
    assert "| manifest.json | 0.1 MB | 0.3 MB | 0.6 MB | 1.00 | 1,500.0 MB |" in text
    assert "**it stops scaling at about\n15 workers** of this kind, where the slower of the two (the scheduler)" in text
    assert "2.2 h for ten million then, and\n37 core-hours in all" in text  # 10^7 x 0.8 ms; 10^7 x 13.3 ms
    assert "it is about 1,250." in text
    assert "150 bytes an image, 1.5 GB for ten million, one JSON document; the datalist 0.8 GB" in text
    assert "holds 12 GB and waits\n  6.0 min; `verify_store` holds 16 GB" in text
    assert "- *Client*: 18 GB." in text
    assert "{" not in text
