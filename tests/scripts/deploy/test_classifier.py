"""The bundle's classifier on DICOM files: inference.json's own answer, and what does not fit."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from fesf.scripts.data.run_folder import configs_folder
from fesf.scripts.deploy.classifier import check_bundle, classify
from fesf.scripts.deploy.surrogates import SurrogateError, find_surrogates
from fesf.scripts.engines.operating_point import OperatingPoint
from tests.scripts.conftest import execute
from tests.scripts.deploy.conftest import SHAPE, identity, levels


def inference(image: Path, bundle: Path, out: Path) -> list[str]:
    """Header and row that the bundle's workflow writes of one image."""
    words = ["--config_file", str(bundle / "configs" / "inference.json"), "--image", str(image)]
    words += ["--ckpt_dir", str(bundle / "models"), "--output_dir", str(out)]
    execute(("python", "-m", "monai.bundle", "run", "inferring", *words))
    return (out / "predictions.csv").read_text().splitlines()


def test_the_table_is_that_of_inference_json(surrogates: Path, bundle: Path, tmp_path: Path) -> None:
    header, *rows = classify(bundle, find_surrogates(surrogates)).table().decode().splitlines()
    assert [row.split(",")[0] for row in rows] == sorted(identity(number) for number in range(6))
    for path, row in zip(sorted(surrogates.iterdir()), rows, strict=True):
        expected, cells = inference(path, bundle, tmp_path / "eager")
        assert header == expected
        for one, other in zip(row.split(","), cells.split(","), strict=True):
            assert one == other or float(one) == pytest.approx(float(other), abs=1e-6)
    decisions = sorted(row.split(",")[-1] for row in rows)
    assert decisions == ["ill"] * 3 + ["well"] * 3, "though no probability of ill is the larger one"


def test_probabilities_are_the_eager_networks(surrogates: Path, bundle: Path) -> None:
    classified = classify(bundle, find_surrogates(surrogates))
    config = json.loads((configs_folder() / "inference.json").read_text())
    network = ConfigParser(config).get_parsed_content("network_def")
    network.load_state_dict(torch.load(bundle / "models" / "model.pt", weights_only=True))
    order = sorted(range(6), key=identity)
    images = np.stack([levels(number)[None] for number in order]).astype(np.float32) / 255
    with torch.no_grad():
        expected = network.eval()(torch.from_numpy(images)).softmax(1).numpy()
    assert np.abs(classified.predictions.probabilities - expected).max() < 1e-6
    assert classified.model_sha256 == sha256((bundle / "models" / "model.pt").read_bytes()).hexdigest()
    assert classified.model_version == json.loads((configs_folder() / "metadata.json").read_text())["version"]
    assert classified.class_names == ["well", "ill"]


def test_the_bundles_own_processing_is_run(surrogates: Path, bundle: Path) -> None:
    """A step that a bundle adds to pre- or postprocessing is not left out."""
    path, items = bundle / "configs" / "inference.json", find_surrogates(surrogates)
    usual = classify(bundle, items).predictions.probabilities
    config = json.loads(path.read_text())
    turned = {"_target_": "Lambdad", "keys": "pred", "func": "$lambda p: p.flip(0)"}
    config["postprocessing"]["transforms"].append(turned)
    path.write_text(json.dumps(config))
    assert np.array_equal(classify(bundle, items).predictions.probabilities, usual[:, ::-1])
    inverted = {"_target_": "Lambdad", "keys": "image", "func": "$lambda x: 1 - x"}
    config["preprocessing"]["transforms"].append(inverted)
    path.write_text(json.dumps(config))
    assert np.abs(classify(bundle, items).predictions.probabilities - usual[:, ::-1]).max() > 1e-4


def test_no_table_of_the_bundles_own_is_written(surrogates: Path, bundle: Path) -> None:
    before = sorted(bundle.rglob("*"))
    classify(bundle, find_surrogates(surrogates))
    assert sorted(bundle.rglob("*")) == before


@pytest.mark.parametrize("name", ["configs/inference.json", "configs/metadata.json", "models/model.pt"])
def test_what_is_missing_is_named(name: str, bundle: Path) -> None:
    assert check_bundle(bundle) == bundle
    (bundle / name).unlink()
    with pytest.raises(ValueError, match=f"no {name}: give the folder of an unpacked bundle"):
        check_bundle(bundle)


@pytest.mark.parametrize(("name", "text"), [("inference", "{"), ("metadata", "[]"), ("metadata", '{"version": "1"}')])
def test_a_config_that_is_none_is_said(name: str, text: str, surrogates: Path, bundle: Path) -> None:
    (bundle / "configs" / f"{name}.json").write_text(text)
    with pytest.raises(ValueError, match=r"config of the bundle cannot be read \(\w+\)"):
        classify(bundle, find_surrogates(surrogates))


def test_surrogates_of_another_size_are_refused(surrogates: Path, bundle: Path) -> None:
    path = bundle / "configs" / "metadata.json"
    path.write_text(path.read_text().replace(json.dumps(list(SHAPE)), "[64, 64]"))
    with pytest.raises(ValueError, match=r"size \[18, 14\], the bundle's model takes \[64, 64\]"):
        classify(bundle, find_surrogates(surrogates))


def test_a_bundle_whose_parts_differ_gives_our_error(surrogates: Path, bundle: Path) -> None:
    OperatingPoint(None, "argmax", ["a", "b", "c"], 1, 0.5).save(bundle / "models" / "operating_point.json")
    with pytest.raises(ValueError, match=r"^num_classes=2, but the model has 3 classes"):
        classify(bundle, find_surrogates(surrogates))


def test_a_file_that_changes_meanwhile_gives_our_error(surrogates: Path, bundle: Path) -> None:
    items = find_surrogates(surrogates)
    Path(items[3]["image"]).write_bytes(b"gone")
    with pytest.raises(SurrogateError, match="it is no DICOM file"):
        classify(bundle, items)
