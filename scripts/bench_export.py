"""Exported networks against eager ones: ``python -m fesf.scripts.bench_export`` writes ``docs/bench_export.json``.

The classifier goes through ``monai.bundle``'s own ``ckpt_export`` and ``onnx_export``, the hospital's pipeline (hide,
enhance, hide again) through TorchScript and ``torch.onnx.export`` of ``ExportableSurrogateNet``. On real images it
states the largest difference from eager, and the time of an image in turn with eager's, on one thread. Needs the extras
``hospital`` and ``export`` and onnxruntime.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser, ckpt_export, onnx_export
from numpy.typing import NDArray
from torch import Tensor, nn

from fesf.networks import EnhancementGenerator, ExportableSurrogateNet, SurrogateNet
from fesf.scripts.data.bundle_content import AGREEMENT
from fesf.scripts.data.cohort import CohortError, LoadImageCohortd
from fesf.scripts.data.files import SHARED, to_json, write_atomic
from fesf.scripts.data.provenance import PACKAGES, load_average, provenance
from fesf.scripts.data.run_folder import configs_folder

COMMAND = "python -m fesf.scripts.bench_export"
SIZES = (64, 224)
BATCHES = (1, 16)
FORMATS = ("eager", "torchscript", "onnx")
Run = Callable[[Tensor], NDArray[np.float32]]


def read_images(folder: Path, size: int, count: int) -> Tensor:
    """The first images of a folder by name, (N, 1, size, size) in [0, 1].

    Raises:
        ValueError: when the folder holds fewer.
    """
    load, found = LoadImageCohortd("image", (size, size)), []
    for path in sorted(path for path in folder.rglob("*") if path.suffix in (".png", ".jpg", ".dcm")):
        try:
            found.append(load({"image": str(path)})["image"].as_tensor())
        except CohortError:
            continue
        if len(found) == count:
            return torch.stack(found)
    raise ValueError(f"--images holds {len(found)} images that can be read, {count} are needed: name another folder.")


def classifier(surrogates: Tensor) -> nn.Module:
    """The small classifier: random weights, batch norm fitted to the images. What it costs, not what it knows."""
    torch.manual_seed(0)
    parser = ConfigParser(json.loads((configs_folder() / "inference.json").read_bytes()))
    network: nn.Module = parser.get_parsed_content("network_def")
    with torch.no_grad():
        network.train()(surrogates)
    return network.eval()


def pipeline(host: Tensor) -> SurrogateNet:
    """Both passes with a generator of random weights, which is far from the identity."""
    torch.manual_seed(0)
    generator = EnhancementGenerator(2)
    for weights in generator.parameters():
        nn.init.normal_(weights, std=0.05)
    return SurrogateNet(host, 0.1, 0.5, generator).eval()


def onnx_runner(path: Path) -> Run:
    """onnxruntime on one thread of the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(images: Tensor) -> NDArray[np.float32]:
        (found,) = session.run(None, {name: images.numpy()})
        return np.asarray(found)

    return run


def torch_runner(network: Any) -> Run:
    """A module, eager or TorchScript."""

    def run(images: Tensor) -> NDArray[np.float32]:
        with torch.inference_mode():
            return np.asarray(network(images))

    return run


def exported_classifier(network: nn.Module, size: int, work: Path) -> dict[str, Run]:
    """The classifier by MONAI's own export commands; its ONNX file takes one image a call."""
    metadata = json.loads((configs_folder() / "metadata.json").read_bytes())
    metadata["network_data_format"]["inputs"]["image"]["spatial_shape"] = [size, size]
    (work / "metadata.json").write_bytes(to_json(metadata))
    torch.save(network.state_dict(), work / "model.pt")
    ids: dict[str, Any] = {
        "ckpt_file": str(work / "model.pt"),
        "meta_file": str(work / "metadata.json"),
        "net_id": "network_def",
    }
    ids["config_file"] = str(configs_folder() / "inference.json")
    ckpt_export(filepath=str(work / "model.ts"), **ids)
    onnx_export(filepath=str(work / "model.onnx"), **ids)
    runs = {"eager": torch_runner(network), "torchscript": torch_runner(torch.jit.load(work / "model.ts").eval())}
    return runs | {"onnx": onnx_runner(work / "model.onnx")}


def exported_pipeline(net: SurrogateNet, images: Tensor, work: Path) -> dict[str, Run]:
    """The hospital's pipeline by way of its exportable form; any number of images."""
    exportable = ExportableSurrogateNet(net).eval()
    with torch.no_grad():
        traced = torch.jit.trace(exportable, images[:1], check_trace=False)
    batch = ({0: torch.export.Dim("batch", min=1, max=4096)},)
    program: Any = torch.onnx.export(exportable, (images[:2],), dynamo=True, dynamic_shapes=batch, verbose=False)
    program.save(work / "pipeline.onnx")
    onnx = onnx_runner(work / "pipeline.onnx")
    return {"eager": torch_runner(net), "torchscript": torch_runner(traced), "onnx": onnx}


def compare(runs: Mapping[str, Run], images: Tensor, batch: int, repeats: int) -> dict[str, Any]:
    """Largest difference from eager on all images, and milliseconds an image in batches, in turn.

    Args:
        runs: by format; "eager" is the reference.
        images: (N, 1, *spatial).
        batch: images a call.
        repeats: rounds; one more warms up. A round does all formats; ratios are taken within one.
    """
    batches = list(images.split(batch))
    results = {name: np.concatenate([run(part) for part in batches]) for name, run in runs.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            for part in batches:
                run(part)
            if repeat:
                seconds[name].append((time.perf_counter() - start) / len(images))
    found: dict[str, Any] = {"batch": batch, "images": len(images)}
    for name, taken in seconds.items():
        ratio = statistics.median(ours / eager for ours, eager in zip(taken, seconds["eager"], strict=True))
        difference = float(np.abs(results[name] - results["eager"]).max())
        found[name] = {"ms": round(1000 * statistics.median(taken), 3), "times_eager": round(ratio, 2)}
        if name != "eager":
            found[name] |= {"largest_difference": difference, "meets": difference <= AGREEMENT}
    return found


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """All figures, one entry a network, size and batch."""
    found = []
    for size in options.sizes:
        plains = read_images(options.images, size, options.count + 1)
        host, plains = plains[-1], plains[:-1]
        with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporters' own, of each call
            net = pipeline(host)
            with torch.no_grad():
                surrogates = net(plains)
            hides = exported_pipeline(net, plains, Path(name))
            classifies = exported_classifier(classifier(surrogates), size, Path(name))
            for batch in BATCHES:
                found.append({"network": "pipeline", "size": size} | compare(hides, plains, batch, options.repeats))
                runs = {key: run for key, run in classifies.items() if batch == 1 or key != "onnx"}
                found.append(
                    {"network": "classifier", "size": size} | compare(runs, surrogates, batch, options.repeats)
                )
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status: 1 where an export differs by more than allowed."""
    shared = Path(os.environ.get("FESF_SHARED", "../shared")) / "data" / "cxr_nih1000"
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--out", type=Path, default=Path("docs"), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--images", type=Path, default=shared, metavar="DIR", help="default: the shared chest X-rays")
    parser.add_argument("--count", type=int, default=64, help="images that are compared (default: %(default)s)")
    parser.add_argument(
        "--sizes", nargs="+", type=int, default=list(SIZES), help="sides in pixels (default: %(default)s)"
    )
    parser.add_argument("--repeats", type=int, default=5, help="timed rounds (default: %(default)s)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    logging.disable(logging.INFO)
    head = provenance(COMMAND, (*PACKAGES, "onnx", "onnxscript", "onnxruntime"))
    head |= {"threads": 1, "seed": 0, "allowed_difference": AGREEMENT, "load_average": load_average()}
    try:
        found = measure(options)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    write_atomic(options.out / "bench_export.json", to_json(head | {"networks": found}), SHARED)
    print(json.dumps(found, indent=1))
    return 0 if all(entry[name]["meets"] for entry in found for name in FORMATS[1:] if name in entry) else 1


if __name__ == "__main__":
    sys.exit(main())
