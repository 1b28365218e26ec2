"""A tiny surrogate store and a tiny cohort, written straight from the format and not by the product's writer."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.bundle import ConfigWorkflow
from PIL import Image

CONFIGS = Path(__file__).parents[2] / "bundle" / "configs"
SIZE = 32
SECTIONS = {"training": 24, "validation": 12, "test": 12}


def surrogate(label: int, generator: np.random.Generator) -> np.ndarray:
    """A fixed stripe pattern whose amplitude depends on the label: what a host's phase makes of an embedded band."""
    x = np.arange(SIZE)
    stripes = np.sin(2 * np.pi * x / 8)[:, None] * np.cos(2 * np.pi * x / 16)[None]
    image = 0.5 + (0.1 + 0.15 * label) * stripes + 0.03 * generator.standard_normal((SIZE, SIZE))
    return np.rint(image.clip(0, 1) * 255).astype(np.uint8)


def write_store(
    folder: Path,
    class_names: Sequence[str] = ("clear", "opacity"),
    sections: Mapping[str, int] = SECTIONS,
    patients: bool = True,
    held_out: Sequence[str] = (),
    volumes: bool = False,
    number: int = 3,
) -> Path:
    """Write a store: images (PNG, or NIfTI volumes), dataset.json, manifest.json; two images a patient.

    Another ``number`` gives other images under other ids.
    """
    generator = np.random.default_rng(number)
    salt = "" if number == 3 else str(number)
    (folder / "images").mkdir(parents=True)
    files: dict[str, dict[str, Any]] = {}
    dataset: dict[str, Any] = {"class_names": list(class_names)}
    for section, count in sections.items():
        items = []
        for index in range(count):
            label = index % len(class_names)
            name = f"images/{hashlib.md5(f'{salt}{section}{index}'.encode(), usedforsecurity=False).hexdigest()}"
            name += ".nii.gz" if volumes else ".png"
            if volumes:
                stack = np.stack([surrogate(label, generator) for _ in range(16)], axis=2)
                nib.save(nib.Nifti1Image(stack, np.eye(4)), folder / name)
            else:
                Image.fromarray(surrogate(label, generator).T).save(folder / name)
            content = (folder / name).read_bytes()
            files[name] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
            items.append({"image": name})
            if section not in held_out:
                items[-1]["label"] = label
            if patients:
                items[-1]["patient"] = f"{section}-{index // 2}"
        dataset[section] = sorted(items, key=lambda item: item["image"])
    content = json.dumps(dataset).encode()
    (folder / "dataset.json").write_bytes(content)
    files["dataset.json"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    manifest = {
        "format": "fesf-surrogate-store",
        "version": 1,
        "spatial_size": [SIZE, SIZE, 16] if volumes else [SIZE, SIZE],
        "encoding": {"type": "nifti" if volumes else "png", "bits": 8},
        "commitment": "0" * 64,
        "files": files,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def write_cohort(folder: Path) -> tuple[Path, Path]:
    """Write cohort.csv with its images and splits.csv; returns both tables."""
    generator = np.random.default_rng(4)
    (folder / "images").mkdir(parents=True)
    rows, splits = [], {}
    for section, count in SECTIONS.items():
        for index in range(count):
            label, patient = index % 2, f"Schmidt {section} {index // 2}"
            name = f"images/{section}{index}.png"
            Image.fromarray(surrogate(label, generator).T).save(folder / name)
            rows.append({"image": name, "label": ("clear", "opacity")[label], "patient": patient})
            splits[patient] = section
    with open(folder / "cohort.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["image", "label", "patient"])
        writer.writeheader()
        writer.writerows(rows)
    with open(folder / "splits.csv", "w", newline="") as file:
        csv.writer(file).writerows([("patient", "split"), *splits.items()])
    return folder / "cohort.csv", folder / "splits.csv"


def workflow(*configs: str, kind: str = "train", tracking: str | None = None, **override: Any) -> ConfigWorkflow:
    """An initialised workflow of the bundle's own configs, small and on the CPU."""
    small: dict[str, Any] = {"epochs": 2, "batch_size": 8, "tensorboard": False} if kind == "train" else {}
    built = ConfigWorkflow(
        config_file=[str(CONFIGS / name) for name in configs],
        workflow_type=kind,
        logging_file=False,
        tracking=tracking,
        **small | {"device": "$torch.device('cpu')"} | override,
    )
    built.initialize()
    return built


def run(*configs: str, **options: Any) -> ConfigWorkflow:
    """Run and finalise a workflow."""
    built = workflow(*configs, **options)
    built.run()
    built.finalize()
    return built


def root_cause(error: BaseException) -> BaseException:
    """What a bundle run failed of: MONAI wraps it, once for each config item that needs the other."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error
