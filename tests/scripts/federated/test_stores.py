from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from fesf.scripts.data.signature import make_keys
from fesf.scripts.data.store import LoadImageStored, StoreError, load_datalist
from fesf.scripts.federated.stores import LoadImageOfStores, common_classes, load_datalists, signed_stores
from tests.bundle.tiny import run, write_store


def test_items_of_both_stores_load_under_their_own_manifest(stores: dict[str, Path]) -> None:
    folders = list(stores.values())
    items = load_datalists(folders, "validation")
    assert items == [item for store in folders for item in load_datalist(store, "validation")]
    load = LoadImageOfStores("image", folders)
    for item, store in ((items[0], folders[0]), (items[-1], folders[1])):
        expected = LoadImageStored("image", store)(item)["image"]
        assert torch.equal(load(item)["image"].as_tensor(), expected.as_tensor())
        assert load(item)["label"] == item["label"]
    assert isinstance(items[0]["image"], str)  # the caller's dict is untouched


def test_a_copy_of_a_store_is_refused(stores: dict[str, Path], tmp_path: Path) -> None:
    copy = shutil.copytree(stores["site-1"], tmp_path / "copy")
    with pytest.raises(ValueError, match="in two of the stores"):
        load_datalists([stores["site-1"], copy])


def test_an_image_of_no_store_and_a_changed_one_are_refused(stores: dict[str, Path], tmp_path: Path) -> None:
    other = write_store(tmp_path / "other", sections={"training": 2})
    load = LoadImageOfStores("image", [stores["site-1"], other])
    (item, _) = load_datalist(other, "training")
    assert load(item)["image"].shape == (1, 32, 32)
    Path(item["image"]).write_bytes(Path(item["image"]).read_bytes() + b"x")
    with pytest.raises(StoreError, match="differs from its digest"):
        load(item)
    with pytest.raises(StoreError, match="lies in none of the stores"):
        load(load_datalist(stores["site-2"], "training")[0])


def test_classes_are_the_same_everywhere(stores: dict[str, Path], tmp_path: Path) -> None:
    assert common_classes(list(stores.values())) == ["clear", "opacity"]
    other = write_store(tmp_path / "other", ("opacity", "clear"))
    with pytest.raises(ValueError, match=r"other classes \(clear, opacity and opacity, clear\)"):
        common_classes([*stores.values(), other])


def test_each_store_has_its_own_signature(stores: dict[str, Path], tmp_path: Path) -> None:
    folders = [str(store) for store in stores.values()]
    assert signed_stores(folders) == folders
    key = make_keys(tmp_path / "key")
    with pytest.raises(StoreError, match=r"has no manifest\.sig"):
        signed_stores(folders, [key, key])
    with pytest.raises(ValueError, match="2 stores and 1 public_keys"):
        signed_stores(folders, [key])
    with pytest.raises(ValueError, match="names a folder twice"):
        signed_stores([folders[0], f"{folders[0]}/../{Path(folders[0]).name}"])
    for wrong in ("store", []):
        with pytest.raises(ValueError, match="give a list of folders"):
            signed_stores(wrong)


def test_pooled_json_trains_and_evaluates(stores: dict[str, Path], tmp_path: Path) -> None:
    places = {
        "stores": [str(store) for store in stores.values()],
        "ckpt_dir": str(tmp_path),
        "output_dir": str(tmp_path),
    }
    run("train.json", "pooled.json", **places, epochs=1)
    run("train.json", "evaluate.json", "pooled.json", **places, bootstrap=10)
    assert json.loads((tmp_path / "metrics.json").read_text())["n_images"] == 12
