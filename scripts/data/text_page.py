"""The page on text in the pixels, from its figures; and a picture of a synthetic film, masked and hidden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from fesf.scripts.data.text_overlay import Overlay, burn_in
from fesf.scripts.make_demo import make_host
from fesf.transforms import MaskText, hide

TEMPLATE = Path(__file__).parents[1] / "templates" / "burned_in_text.md"


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def page(figures: Mapping[str, Any]) -> str:
    """The page as Markdown.

    Args:
        figures: what ``burned_in_text.json`` holds.
    """
    recall, attack = figures["recall"], figures["attack"]
    values: dict[str, Any] = {name: figures[name] for name in ("command", "commit", "load")}
    values |= {name: figures["machine"][name] for name in ("processor", "cores")}
    values |= {"versions": ", ".join(f"{name} {version}" for name, version in figures["software"].items())}
    values |= attack | {"victims": attack["rows"][0]["victims"], "attack_table": _attack_table(attack["rows"])}
    values |= {"after_masking": _after_masking(attack["rows"]), "found_is": recall["found_is"]}
    values |= {"texts": recall["synthetic"]["texts"], "recall_tables": _recall_tables(recall["synthetic"])}
    values |= {"clean_table": _clean_table(recall["without_text"]), "real_table": _real_table(recall["real"])}
    return TEMPLATE.read_text(encoding="utf-8").format(**values)


def _interval(row: Mapping[str, Any]) -> str:
    return f"{row['rank_1']:.2f} ({row['low']:.2f} to {row['high']:.2f})"


def _attack_table(rows: Sequence[Mapping[str, Any]]) -> str:
    alphas = sorted({row["alpha"] for row in rows})
    kinds = list(dict.fromkeys((row["variant"], row["attacker"]) for row in rows))
    cells = {(row["variant"], row["attacker"], row["alpha"]): row for row in rows}
    header = ["pixels and attacker's belief", "attacker", *(f"alpha {alpha}" for alpha in alphas), "median ranks"]
    lines = []
    for variant, attacker in kinds:
        group = [cells[variant, attacker, alpha] for alpha in alphas]
        medians = ", ".join(f"{row['median_rank']:g}" for row in group)
        lines.append([variant, attacker, *map(_interval, group), medians])
    return table(header, lines)


def _after_masking(rows: Sequence[Mapping[str, Any]]) -> str:
    covered = [row for row in rows if row["variant"] == "masked"]
    best = max(covered, key=lambda row: row["where_mask_covered"]["rank_1"])["where_mask_covered"]
    return (
        f"Where it did, at most {best['rank_1']:.0%} of {best['victims']} names come first (up to {best['high']:.0%} by"
        " the interval); where it did not, the name is still there."
    )


def _recall_tables(synthetic: Mapping[str, Any]) -> str:
    parts = []
    for by in ("size", "script", "contrast", "font", "background"):
        items = synthetic[by].items()
        ordered = sorted(items, key=lambda item: int(item[0])) if by == "size" else list(items)
        rows = [[key, v["texts"], f"{v['found']:.0%}", f"{v['ink_covered']:.0%}"] for key, v in ordered]
        parts.append(table([by, "texts", "found", "mean ink covered"], rows))
    return "\n\n".join(parts)


def _clean_table(without_text: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [[kind, v["images"], v["boxes_per_image"], f"{v['area']:.2%}"] for kind, v in without_text.items()]
    return table(["ground", "images", "boxes an image", "share of the area"], rows)


def _real_table(real: Mapping[str, Any]) -> str:
    header = ["file", "texts", "regions", "detector", "both", "boxes without text", "area covered"]
    columns = ("file", "texts", "regions", "detector", "both", "boxes_without_text")
    rows = [[*(file[name] for name in columns), f"{file['area']:.1%}"] for file in real["files"]]
    everything = ["all", *(real["all"][name] for name in ("texts", "regions", "detector", "both")), "", ""]
    return table(header, [*rows, everything])


def montage(mask: MaskText, size: int = 512, shown: int = 256) -> Image.Image:
    """A synthetic film with a name, the same masked, and the surrogates of both, side by side."""
    film = make_host(2, 0, size).astype(np.float32) / np.float32(255)
    written = burn_in(film, Overlay("KELLER, LENA", "sans", size // 18, size // 24, size // 24))
    masked = mask(written.T[None])[0].numpy().T
    host = torch.from_numpy(make_host(2, 1, size).astype(np.float32) / np.float32(255))[None]
    plain = torch.from_numpy(np.stack([written, masked]))[:, None]
    surrogates = hide(plain, host, 0.25, 0.5, clip=True)[:, 0].numpy()
    sheet = Image.new("L", (4 * shown + 3 * 8, shown), 255)
    for index, image in enumerate((written, masked, *surrogates)):
        tile = Image.fromarray(np.rint(image * 255).astype(np.uint8)).resize((shown, shown), Image.Resampling.LANCZOS)
        sheet.paste(tile, (index * (shown + 8), 0))
    return sheet
