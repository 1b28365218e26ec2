"""Text in the pixels, measured: ``python -m fesf.scripts.bench_text`` writes ``docs/burned_in_text.*``.

How much text the detector finds, made up and real, and the dictionary attack before and after masking. Backgrounds are
brain MRI and DICOM of the shared data, or the demo's synthetic chest films where those are absent.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import torch
from PIL import Image
from scipy.stats import binomtest
from tqdm import tqdm

from fesf.scripts.audit.scene import Images, Scene
from fesf.scripts.audit.text_dictionary import TextDictionary
from fesf.scripts.data.files import SHARED, to_json, write_atomic
from fesf.scripts.data.provenance import provenance
from fesf.scripts.data.text_overlay import Array, Overlay, burn_in, coverage, names
from fesf.scripts.data.text_page import montage, page
from fesf.scripts.data.text_recall import (
    FOUND,
    covered_by,
    draw_overlay,
    recall,
    totals,
    try_background,
    try_real_files,
)
from fesf.scripts.make_demo import make_host
from fesf.transforms import MaskText, TextDetector, hide, load_image

COMMAND = "python -m fesf.scripts.bench_text"
ALPHAS, BETA = (0.1, 0.25, 0.5), 0.5
FONT, SIZE = "sans", 24
CROPS = {
    "US1_J2KR.dcm": (45, 108, 595, 337),
    "gdcm-US-ALOKA-16_big.dcm": (105, 70, 640, 415),
    "JPGLosslessP14SV1_1s_1f_8b.dcm": (150, 170, 740, 640),
}
"""Parts of ultrasound images without text, as grounds: left, top, right, bottom."""


def grounds(shared: Path, count: int) -> tuple[str, list[Array]]:
    """Images (512, 512) to write on, each of another person as far as there are so many, and what they are."""
    files = sorted((shared / "data" / "mri_cheng430").glob("*/*.jpg"))
    if not files:
        return "synthetic chest films", [
            make_host(0, number, 512).astype(np.float32) / np.float32(255) for number in range(count)
        ]
    chosen = np.random.default_rng(0).permutation(len(files))[:count]
    pictures = (Image.open(files[index]).convert("L").resize((512, 512)) for index in chosen)
    return "brain MRI (mri_cheng430)", [np.asarray(each, dtype=np.float32) / np.float32(255) for each in pictures]


def recall_grounds(shared: Path, films: int, mri: Sequence[Array]) -> list[tuple[str, Array]]:
    """Grounds of several kinds for the detector."""
    found = [
        ("synthetic chest film, 512", make_host(1, n, 512).astype(np.float32) / np.float32(255)) for n in range(films)
    ]
    found += [("brain MRI, 512", image) for image in mri]
    folder = shared / "data" / "dicom_pydicom_data"
    for name, (left, top, right, bottom) in CROPS.items():
        if (folder / name).is_file():
            values = load_image(folder / name, frame=0)[0, left:right, top:bottom, 0].numpy().T
            found += [("ultrasound, some 550", np.ascontiguousarray(values))] * 4
    for name in ("RG1_J2KI.dcm", "RG3_J2KR.dcm"):
        if (folder / name).is_file():
            values = load_image(folder / name, frame=0)[0, ..., 0].numpy().T
            low, high = float(values.min()), float(values.max())
            found += [("radiograph, 1760 to 1955", (values - low) / (high - low))] * 2
    return found


def measure_recall(shared: Path, mask: MaskText, films: int, mri: Sequence[Array], progress: bool) -> dict[str, Any]:
    """Made-up and real text."""
    trials, clean = [], []
    items = recall_grounds(shared, films, mri)
    for seed, (name, image) in enumerate(tqdm(items, desc="Recall", disable=not progress)):
        found, without = try_background(name, image, mask, seed)
        trials += found
        clean.append(without)
    kinds = sorted({each["background"] for each in clean})
    groups = {kind: [each for each in clean if each["background"] == kind] for kind in kinds}
    without_text = {
        kind: {
            "images": len(group),
            "boxes_per_image": round(float(np.mean([each["boxes"] for each in group])), 2),
            "area": round(float(np.mean([each["area"] for each in group])), 4),
        }
        for kind, group in groups.items()
    }
    shipped = Path(pydicom.__file__).parent / "data" / "test_files"
    files = try_real_files([shared / "data" / "dicom_pydicom_data", shipped], mask)
    synthetic: dict[str, Any] = {by: recall(trials, by) for by in ("size", "script", "contrast", "font", "background")}
    return {
        "found_is": f"{FOUND:.0%} of the ink or of the labelled box is covered",
        "synthetic": {"texts": len(trials)} | synthetic,
        "without_text": without_text,
        "real": {"files": files, "all": totals(files)},
    }


def write_names(
    images: Sequence[Array], candidates: Sequence[str], seed: int
) -> tuple[list[Array], list[Overlay], list[int]]:
    """Each image with one candidate in it, at a random place that is dark enough to read it."""
    rng = np.random.default_rng(seed)
    written, overlays, truth = [], [], []
    for image in images:
        overlay = None
        while overlay is None:
            index = int(rng.integers(len(candidates)))
            taken = np.zeros(image.shape, dtype=bool)
            overlay = draw_overlay(image, candidates[index], FONT, SIZE, "white", taken, rng)
        written.append(burn_in(image, overlay))
        overlays.append(overlay)
        truth.append(index)
    return written, overlays, truth


def hidden_scene(plain: Array, host: Array, alpha: float) -> Scene:
    """A release of 8-bit surrogates of these plaintexts (N, H, W), one a patient."""
    seen = hide(torch.from_numpy(plain)[:, None], torch.from_numpy(host)[None], alpha, BETA, clip=True)[:, 0]
    eight = np.rint(seen.numpy().astype(np.float64) * 255) / 255
    order = np.arange(len(plain))
    victims = Images(eight, plain.astype(np.float64), np.zeros_like(order), order, order)
    nobody = victims.take(order[:0])
    public = host.astype(np.float64)
    return Scene(nobody, victims, public, public[None], alpha, BETA)


def rate(hits: np.ndarray) -> dict[str, float | int]:
    """Rank-1 rate with its exact 95 % interval (Clopper and Pearson)."""
    count = len(hits)
    interval = binomtest(int(hits.sum()), count).proportion_ci(0.95) if count else None
    low, high = (round(float(end), 3) for end in interval) if interval else (0.0, 1.0)
    return {"victims": count, "rank_1": round(float(hits.mean()), 3) if count else 0.0, "low": low, "high": high}


def measure_attack(
    shared: Path, mask: MaskText, victims: int, candidates: int, progress: bool
) -> tuple[dict[str, Any], list[Array]]:
    """The dictionary attack on texts, on none, on masked ones; and the backgrounds that it used."""
    kind, images = grounds(shared, victims + 1)
    host, images = images[0], images[1:]
    listed = tuple(names(candidates))
    written, overlays, truth = write_names(images, listed, 0)
    masked, found = [], []
    for image, overlay in zip(tqdm(written, desc="Masking", disable=not progress), overlays, strict=True):
        stored = np.rint(image * 255).astype(np.float32) / np.float32(255)
        covered = covered_by(mask.boxes(stored.T[None]), image.shape)
        ink = coverage(overlay, (image.shape[0], image.shape[1])) > 0.1
        found.append(bool(covered[ink].mean() >= FOUND))
        masked.append(np.where(covered, np.float32(mask.value), image))
    right = TextDictionary(listed, dict(enumerate(truth)), FONT, SIZE)
    plan = (  # what is hidden, what the attacker believes; those of one font size together, whose amplitudes are kept
        ("text", written, right),
        ("no text", images, right),
        ("masked", masked, right),
        ("font one pixel off", written, replace(right, size=SIZE + 1)),
        ("masked, boxes matched", masked, replace(right, boxes=True)),
    )
    rows = []
    bar = tqdm(total=2 * len(plan) * len(ALPHAS), desc="Attack", disable=not progress)
    for name, plain, attack in plan:
        for alpha in ALPHAS:
            scene = hidden_scene(np.stack(plain), host, alpha)
            for known in (True, False):
                attacker = replace(attack, host_known=known)
                score = attacker.score(attacker.fit(scene), scene)
                row = {"variant": name, "alpha": alpha, "attacker": "host known" if known else "store alone"}
                row |= rate(score.values) | {"median_rank": score.details["median_rank"]}
                if name.startswith("masked"):
                    row["where_mask_covered"] = rate(score.values[np.array(found)])
                rows.append(row)
                bar.update()
    bar.close()
    setting = {"background": kind, "size": [512, 512], "beta": BETA, "candidates": candidates, "chance": 1 / candidates}
    setting |= {"font": FONT, "font_size": SIZE, "covered_by_mask": round(float(np.mean(found)), 3)}
    return setting | {"rows": rows}, images


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--out", default="docs", help="where burned_in_text.* go (default: %(default)s)")
    parser.add_argument("--shared", default=os.environ.get("FESF_SHARED", "../shared"), help="folder that holds data/")
    parser.add_argument("--victims", type=int, default=40, help="images with a name (default: %(default)s)")
    parser.add_argument("--candidates", type=int, default=1000, help="names of the dictionary (default: %(default)s)")
    parser.add_argument("--films", type=int, default=8, help="synthetic films for the recall (default: %(default)s)")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    shared, mask, progress = Path(options.shared), MaskText(TextDetector()), not options.quiet
    attack, images = measure_attack(shared, mask, options.victims, options.candidates, progress)
    real = images[:16] if attack["background"].startswith("brain") else []
    found = measure_recall(shared, mask, options.films, real, progress)
    packages = ("fesf", "monai", "torch", "numpy", "pillow", "matplotlib", "rapidocr-onnxruntime", "onnxruntime")
    document = {
        **provenance(COMMAND, packages),
        "seed": 0,
        "load": os.getloadavg()[0],
        "recall": found,
        "attack": attack,
    }
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / "burned_in_text.json", to_json(document), SHARED)
    write_atomic(out / "burned_in_text.md", page(document).encode(), SHARED)
    montage(mask).save(out / "burned_in_text.png")
    print(f"Wrote {out / 'burned_in_text.md'}.")


if __name__ == "__main__":
    main()
