"""The store's format: what is written is read back, and nothing else is believed."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from fesf.scripts.data import store as module
from fesf.scripts.data.store import LoadImageStored, StoreError, class_weights, decode_image, encode_image

PNG8, PNG16 = {"type": "png", "bits": 8}, {"type": "png", "bits": 16}
NIFTI = {"type": "nifti", "bits": 8}


def write_store(folder: Path, sections: dict[str, list[dict[str, Any]]], encoding: dict[str, Any] = PNG8) -> Path:
    """A store by hand: one random image an item, named by the item."""
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    files = {}
    for item in (item for items in sections.values() for item in items):
        content = encode_image(rng.random((1, 8, 6) if encoding["type"] == "png" else (1, 8, 6, 4)), encoding)
        (folder / item["image"]).write_bytes(content)
        files[item["image"]] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    dataset = json.dumps({"class_names": ["no", "yes"], **sections}).encode()
    (folder / "dataset.json").write_bytes(dataset)
    files["dataset.json"] = {"sha256": hashlib.sha256(dataset).hexdigest(), "size": len(dataset)}
    manifest = {"format": "fesf-surrogate-store", "version": 1, "encoding": encoding, "files": files}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return write_store(
        tmp_path / "store",
        {
            "training": [
                {"image": "images/aa.png", "label": 1},
                {"image": "images/bb.png", "label": 0, "patient": "p"},
            ],
            "validation": [],
            "test": [{"image": "images/cc.png"}],
        },
    )


@pytest.mark.parametrize("encoding", [PNG8, PNG16])
def test_picture_is_upright_and_read_back(encoding: dict[str, Any]) -> None:
    levels = 2 ** encoding["bits"] - 1
    image = np.random.default_rng(0).random((1, 8, 6))
    content = encode_image(image, encoding)
    assert content == encode_image(image, encoding)
    picture = np.asarray(Image.open(io.BytesIO(content)))
    np.testing.assert_array_equal(picture, np.rint(image[0].T * levels))
    read = decode_image(content, encoding)
    assert (read.dtype, tuple(read.shape)) == (torch.float32, (1, 8, 6))
    np.testing.assert_allclose(read.numpy(), np.rint(image * levels) / levels, atol=1e-7)


def test_png_has_no_metadata_chunk() -> None:
    content, at, chunks = encode_image(np.zeros((1, 8, 6)), PNG8), 8, []
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        chunks.append(content[at + 4 : at + 8])
        at += 12 + length
    assert chunks == [b"IHDR", b"IDAT", b"IEND"]


def test_nifti_keeps_rounded_spacing_only() -> None:
    image = np.random.default_rng(0).random((1, 8, 6, 4))
    content = encode_image(image, NIFTI, spacing=(0.9375, 1.26, 0.001))
    assert content == encode_image(image, NIFTI, spacing=(0.9375, 1.26, 0.001))
    assert content[4:8] == bytes(4)  # the gzip header's time
    read = decode_image(content, NIFTI)
    np.testing.assert_allclose(read.numpy(), np.rint(image * 255) / 255, atol=1e-7)
    np.testing.assert_allclose(np.asarray(read.affine), np.diag([0.9, 1.3, 0.1, 1]))
    header = nib.Nifti1Image.from_bytes(gzip.decompress(content)).header
    assert (bytes(header["descrip"]).strip(b"\0"), bytes(header["aux_file"]).strip(b"\0")) == (b"", b"")


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("shape", "spacing"), [((8, 6, 4), (0.9375, 1.26, 0.001)), ((8, 6), (0.9375, 1.26))])
def test_nifti_holds_size_type_and_spacing_alone(shape: tuple[int, ...], spacing: tuple[float, ...], bits: int) -> None:
    """Every byte of gzip's and NIfTI's header, by their documents (RFC 1952, nifti1.h)."""
    content = encode_image(np.zeros((1, *shape)), {"type": "nifti", "bits": bits}, spacing)
    assert content[:9] == b"\x1f\x8b\x08\0\0\0\0\0\0"  # deflate, no name, no comment, no time
    raw = gzip.decompress(content)
    assert len(raw) == 352 + bits // 8 * np.prod(shape)
    sizes = [0.9, 1.3, 0.1 if len(shape) == 3 else 1.0]
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, len(shape), *shape, *[1] * (7 - len(shape)))
    struct.pack_into("<2h", header, 70, 2 if bits == 8 else 512, bits)
    struct.pack_into("<8f", header, 76, 1, *sizes[: len(shape)], *[1] * (7 - len(shape)))
    struct.pack_into("<3f", header, 108, 352, 1, 0)  # where the pixels begin; values as they are
    struct.pack_into("<2h", header, 252, 0, 2)
    for row, size in enumerate(sizes):
        struct.pack_into("<f", header, 280 + 20 * row, size)
    header[344:348] = b"n+1\0"
    assert raw[:352] == bytes(header)
    image = nib.Nifti1Image.from_bytes(raw)
    assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
    np.testing.assert_allclose(image.affine, np.diag([*sizes, 1]))
    assert len(image.header.extensions) == 0


def test_other_pixels_are_refused() -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.float32)).save(buffer, format="TIFF")
    with pytest.raises(StoreError, match="Pixels are float32"):
        decode_image(buffer.getvalue(), PNG8)


def test_bombs_are_not_unpacked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "LARGEST", 2**20)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2**18)
    bomb = gzip.compress(bytes(2**26), mtime=0)
    tracemalloc.start()
    with pytest.raises(StoreError, match=r"^An image unpacks to more than any surrogate's: it is not read\.$"):
        decode_image(bomb, NIFTI)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((1024, 1024), np.uint8)).save(buffer, format="PNG")
    (tmp_path / "aa.png").write_bytes(buffer.getvalue())
    with pytest.raises(StoreError, match=r"^An image unpacks to more than any surrogate's: it is not read\.$"):
        LoadImageStored("image")({"image": tmp_path / "aa.png"})


def test_datalist_gives_paths_ids_and_what_is_disclosed(store: Path) -> None:
    first = {"image": str(store / "images/aa.png"), "label": 1, "id": "aa"}
    assert module.load_datalist(store, "training")[0] == first
    assert [item["id"] for item in module.load_datalist(store, "all")] == ["aa", "bb", "cc"]
    assert "label" not in module.load_datalist(store, "test")[0]
    assert module.load_datalist(None, image="x/dd.nii.gz") == [{"image": "x/dd.nii.gz", "id": "dd"}]
    assert module.class_names(store) == ["no", "yes"]
    with pytest.raises(ValueError, match="section 'validation' of the store is empty"):
        module.load_datalist(store, "validation")
    with pytest.raises(ValueError, match="Unknown section 'train'"):
        module.load_datalist(store, "train")
    with pytest.raises(ValueError, match="Neither a store nor an image"):
        module.load_datalist(None)


def test_folder_that_is_no_store_is_refused(store: Path, tmp_path: Path) -> None:
    with pytest.raises(
        StoreError, match=r"is not a surrogate store: it has no manifest.json.*'.partial' is an unfinished"
    ):
        module.load_datalist(tmp_path / "none")
    (store / "manifest.json").write_text(json.dumps({"format": "fesf-surrogate-store", "version": 2}))
    with pytest.raises(StoreError, match=r"version 2; this release of fesf reads .* version 1"):
        module.class_names(store)


def test_changed_dataset_is_refused(store: Path) -> None:
    path = store / "dataset.json"
    path.write_text(path.read_text().replace('"label": 1', '"label": 0'))
    with pytest.raises(StoreError, match=r"'dataset.json' differs from its digest"):
        module.load_datalist(store)


@pytest.mark.parametrize("label", [2, -1, True, "1", None, 10**30])
def test_labels_that_are_no_class_are_refused(store: Path, label: object) -> None:
    """Also where the digest fits: who can make a dataset.json can make a manifest."""
    document, manifest = (json.loads((store / name).read_text()) for name in ("dataset.json", "manifest.json"))
    document["training"][0]["label"] = label
    content = json.dumps(document).encode()
    manifest["files"]["dataset.json"]["sha256"] = hashlib.sha256(content).hexdigest()
    (store / "dataset.json").write_bytes(content)
    (store / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match=r"'dataset.json': a label of training is no index of class_names"):
        module.load_datalist(store)


def test_loader_reads_what_the_manifest_vouches_for(store: Path) -> None:
    loader = LoadImageStored("image", store)
    item = loader(module.load_datalist(store)[0])
    np.testing.assert_array_equal(
        (item["image"][0].numpy() * 255).round(), np.asarray(Image.open(store / "images/aa.png")).T
    )
    assert "filename_or_obj" not in item["image"].meta
    assert item["image"].applied_operations == []


def test_loader_refuses_everything_else_by_name(store: Path) -> None:
    loader = LoadImageStored("image", store)
    (store / "images" / "dd.png").write_bytes((store / "images" / "aa.png").read_bytes())
    with pytest.raises(StoreError, match=r"'images/dd.png' is not in the store's manifest"):
        loader({"image": store / "images" / "dd.png"})
    elsewhere = store.parent / "aa.png"
    elsewhere.write_bytes((store / "images" / "aa.png").read_bytes())
    with pytest.raises(StoreError, match=r"'images/aa.png' is not in the store's manifest"):
        loader({"image": elsewhere})
    (store / "images" / "bb.png").write_bytes((store / "images" / "aa.png").read_bytes())
    with pytest.raises(StoreError, match=r"'images/bb.png' differs from its digest"):
        loader({"image": store / "images" / "bb.png"})
    (store / "images" / "cc.png").unlink()
    with pytest.raises(StoreError, match=r"'images/cc.png' cannot be read \(No such file"):
        loader({"image": store / "images" / "cc.png"})


def test_loader_refuses_a_store_with_other_files(store: Path) -> None:
    LoadImageStored("image", store)
    (store / "manifest.sig").write_bytes(bytes(64))  # the one file that the manifest does not list
    LoadImageStored("image", store)
    (store / "images" / "Schmidt.png").write_bytes(b"")
    with pytest.raises(StoreError, match=r"holds 1 files that its manifest does not list: they were added") as caught:
        LoadImageStored("image", store)
    assert "Schmidt" not in str(caught.value)
    (store / "images" / "Schmidt.png").unlink()
    (store / "images" / "cc.png").unlink()
    with pytest.raises(StoreError, match=r"'images/cc.png' cannot be read \(missing\): the store is incomplete"):
        LoadImageStored("image", store)
    manifest = store / "manifest.json"
    manifest.write_text(manifest.read_text().replace("images/cc.png", "images/Schmidt.png"))
    with pytest.raises(StoreError, match=r"^A file whose name is no id cannot be read \(missing\)"):
        LoadImageStored("image", store)


def test_loader_checks_at_every_read(store: Path) -> None:
    """No digest is remembered: a file changed between two reads, times and size kept, is refused at the second."""
    loader, path = LoadImageStored("image", store), store / "images" / "aa.png"
    loader({"image": path})
    content, held = bytearray(path.read_bytes()), path.stat()
    content[-20] ^= 1
    path.write_bytes(bytes(content))
    os.utime(path, ns=(held.st_atime_ns, held.st_mtime_ns))
    with pytest.raises(StoreError, match=r"'images/aa.png' differs from its digest"):
        loader({"image": path})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("manifest.json", b"{", r"manifest\.json is not JSON \(JSONDecodeError\): copy the store again"),
        ("manifest.json", b"\xff\xfe", r"manifest\.json is not JSON"),
        ("manifest.json", b"[]", r"The manifest says format None, version None"),
        ("manifest.json", b'{"format": "fesf-surrogate-store", "version": 1}', r"The manifest's encoding is None"),
        (
            "manifest.json",
            b'{"format": "fesf-surrogate-store", "version": 1, "encoding": {"type": "png", "bits": 8}}',
            r"The manifest lists no files",
        ),
        (
            "manifest.json",
            b'{"format": "fesf-surrogate-store", "version": 1, "encoding": {"type": "png", "bits": 8},'
            b' "files": {"images/Schmidt.png": {"size": 3, "sha256": "x"}}}',
            r"no SHA-256 and size for entry 1 of files",
        ),
        (
            "manifest.json",
            b'{"format": "Anna Schmidt", "version": 99999999999}',
            r"The manifest says format \(str\), version \(int\); this release",
        ),
        (
            "manifest.json",
            b'{"format": "fesf-surrogate-store", "version": 1, "encoding": "Schmidt"}',
            r"The manifest's encoding is \(str\): it must name",
        ),
        (
            "manifest.json",
            b'{"format": "fesf-surrogate-store", "version": 1, "encoding": {"type": [], "bits": 8}}',
            r"The manifest's encoding is \(dict\): it must name",
        ),
        ("manifest.json", b"[" * 100_000, r"manifest\.json is not JSON \(RecursionError\)"),
        ("manifest.json", b"9" * 5000, r"manifest\.json is not JSON \(ValueError\)"),
        ("dataset.json", b"{", r"dataset\.json is not JSON"),
    ],
)
def test_malformed_documents_give_one_clear_line(store: Path, name: str, content: bytes, message: str) -> None:
    (store / name).write_bytes(content)
    with pytest.raises(StoreError, match=message) as caught:
        module.class_names(store)
    assert "Schmidt" not in str(caught.value)


def test_loader_without_a_store_reads_single_surrogates(store: Path, tmp_path: Path) -> None:
    loader = LoadImageStored("image")
    assert loader({"image": store / "images" / "aa.png"})["image"].shape == (1, 8, 6)
    volume = tmp_path / "v.nii.gz"
    volume.write_bytes(encode_image(np.zeros((1, 8, 6, 4)), NIFTI))
    assert loader({"image": volume})["image"].shape == (1, 8, 6, 4)
    (tmp_path / "w.png").write_text("none")
    with pytest.raises(StoreError, match=r"'images/w.png' is not a png image"):
        loader({"image": tmp_path / "w.png"})


def test_class_weights_are_inverse_frequencies() -> None:
    data = [{"label": 0}] * 3 + [{"label": 1}]
    torch.testing.assert_close(class_weights(data, 2), torch.tensor([0.5, 1.5]))
    with pytest.raises(ValueError, match="1 training items have no label"):
        class_weights([*data, {}], 2)
    with pytest.raises(ValueError, match=r"Labels \[1\] lie outside num_classes=1"):
        class_weights(data, 1)
    with pytest.raises(ValueError, match=r"Classes \[2\] of num_classes=3 have no training image"):
        class_weights(data, 3)
