"""What the gateway's tests share: a tiny hospital, originals, and a gateway's parts without threads or network."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pydicom import dcmwrite
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from fesf.networks.surrogate import SurrogateNet
from fesf.scripts.canaries.files import smooth
from fesf.scripts.data.hosts import HostPool
from fesf.scripts.data.keys import load_secret
from fesf.scripts.data.phase import PhaseCheck, whiten
from fesf.scripts.data.prediction import Prediction
from fesf.scripts.data.recipe import Recipe
from fesf.scripts.data.store import encode_image
from fesf.scripts.engines.surrogate_writer import StagesInferer, check_stages
from fesf.scripts.gateway.calling import NodeError
from fesf.scripts.gateway.intake import Intake, Keys
from fesf.scripts.gateway.origin import describe
from fesf.scripts.gateway.outbox import Outbox
from fesf.scripts.gateway.report_object import write_report
from fesf.scripts.gateway.returns import Returns
from fesf.scripts.gateway.settings import Settings, load_settings
from fesf.scripts.gateway.spool import Spool
from fesf.scripts.gateway.state import STATE, State
from fesf.scripts.gateway.steps import Steps
from fesf.transforms.dicom_reader import quiet

SIZE = (32, 32)
CLASSES = ("no", "yes")
MODEL = "ab" * 32
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
ROOT = "1.2.826.0.1.3680043.8.498."


def make_hospital(folder: Path, /, **changes: Any) -> Path:
    """A release's hospital folder with hosts and secret, and ``gateway.json``; returns the latter."""
    (folder / "hosts").mkdir(parents=True)
    for number in range(3):
        pixels = np.rint(smooth(100 + number, SIZE) * 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "hosts" / f"{number}.png")
    secret = folder / "secret"
    secret.write_bytes(b"0123456789abcdef" * 2)
    secret.chmod(0o600)
    recipe = Recipe("r1", image_size=SIZE)
    document = recipe.document(HostPool(folder / "hosts", recipe).host_sha256, "own", {"images": 3})
    (folder / "kept").mkdir(mode=0o700)
    (folder / "kept" / "release.json").write_text(json.dumps(document))
    given = {
        "spool_dir": "spool",
        "hospital_dir": "kept",
        "hosts_dir": "hosts",
        "secret_file": "secret",
        "class_names": list(CLASSES),
        "listen": {"ae_title": "GW", "port": 11112},
        "returns": {"ae_title": "BACK", "port": 11113},
        "pacs": {"ae_title": "PACS", "port": 11114},
        "analyst": {"ae_title": "ANALYST", "port": 11115},
        "study": {"quiet_seconds": 10, "max_age_seconds": 100},
        "egress": {"first_retry_seconds": 1, "longest_retry_seconds": 8},
    }
    (folder / "gateway.json").write_text(json.dumps(given | changes))
    return folder / "gateway.json"


def original(number: int = 0, study: int | None = None, seed: int | None = None, **changes: Any) -> bytes:
    """A patient's image: everything follows from its number."""
    header = FileDataset("", {}, file_meta=FileMetaDataset(), preamble=bytes(128))
    header.SpecificCharacterSet = "ISO_IR 192"
    header.SOPClassUID, header.SOPInstanceUID = SECONDARY_CAPTURE, f"{ROOT}1.{number}"
    header.StudyInstanceUID = f"{ROOT}2.{number if study is None else study}"
    header.SeriesInstanceUID = f"{ROOT}3.{number}"
    header.PatientID, header.PatientName = f"PAT{number}", f"Schmidt^Anna{number}"
    header.PatientBirthDate, header.PatientSex = "19500101", "F"
    header.StudyDate, header.StudyTime, header.StudyID = "20200102", "101112", f"S{number}"
    header.AccessionNumber, header.ReferringPhysicianName = f"ACC{number}", "Haus^G"
    header.Modality, header.ConversionType = "OT", "DV"
    pixels = np.rint(smooth(number if seed is None else seed, SIZE) * 255).astype(np.uint8)
    header.Rows, header.Columns = pixels.shape
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 8, 8, 7, 0
    header.add_new("PixelData", "OB", pixels.tobytes())
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
    buffer = io.BytesIO()
    with quiet():  # invalid values are wanted
        for name, value in changes.items():
            setattr(header, name, value)
        header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
        dcmwrite(buffer, header, enforce_file_format=True)
    return buffer.getvalue()


class PlainHider:
    """The pipeline without the limited process: it reads the pixels itself."""

    def __init__(self, settings: Settings) -> None:
        self.recipe = Recipe("r1", image_size=SIZE, output="dicom")
        self.pool = HostPool(settings.hosts_dir, self.recipe)
        self.network = SurrogateNet(self.pool.host, self.recipe.alpha, self.recipe.beta)

    def hide(self, content: bytes, identity: str) -> tuple[bytes, PhaseCheck]:
        from pydicom import dcmread

        values = dcmread(io.BytesIO(content)).pixel_array
        plain = torch.from_numpy(values.T.astype(np.float32) / 255)[None]
        stages = {name: made[0] for name, made in StagesInferer()(plain[None], self.network).items()}
        check = check_stages(stages, plain, whiten(self.pool.host, 2), 255)
        return encode_image(stages["synthetic"].numpy(), self.recipe.encoding, None, identity), check


@dataclass
class FakeNode:
    """A node that keeps what it gets.

    Attributes:
        got: SOP instance UID and bytes of each object, in order.
        down: it cannot be reached.
        status: its answer.
    """

    got: list[tuple[str, bytes]] = field(default_factory=list)
    down: bool = False
    status: int = 0
    calls: int = 0

    def store(self, content: bytes) -> int:
        from pydicom import dcmread

        if self.status == 0:
            self.got.append((str(dcmread(io.BytesIO(content)).SOPInstanceUID), content))
        return self.status

    @contextmanager
    def call(self) -> Iterator[FakeNode]:
        self.calls += 1
        if self.down:
            raise NodeError("down")
        yield self


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class Parts:
    """A gateway's parts over a folder, as a process would make them; making them again is a restart."""

    def __init__(self, config: Path, clock: Clock, hider: Any = None) -> None:
        self.settings, self.clock = load_settings(config), clock
        self.keys = Keys(load_secret(self.settings.secret_file), "r1")
        folder = self.settings.spool_dir
        folder.mkdir(mode=0o700, exist_ok=True)
        self.hider = hider or PlainHider(self.settings)
        self.state = State(folder / STATE)
        self.spool = Spool(folder / "originals", self.keys.seal, self.settings.limits.spool_bytes)
        self.outbox = Outbox(folder / "outbox", self.keys.outbox, Recipe("r1", image_size=SIZE, output="dicom"))
        self.steps = Steps(self.settings, self.state, self.spool, self.outbox, self.keys, self.hider, write_report,
                           clock, lambda: 0.5)  # fmt: skip
        self.intake = Intake(self.state, self.spool, self.keys, describe, self.settings.limits, clock)
        self.returns = Returns(self.state, self.keys, CLASSES, self.settings.model_sha256, clock)
        self.steps.recover()

    def hide_all(self) -> None:
        """Complete every study and hide its images."""
        self.clock.now += 1000
        self.steps.complete_studies()
        while self.steps.hide_next():
            pass


def prediction(identity: str, value: float = 0.25) -> Prediction:
    """An answer to a surrogate."""
    return Prediction(identity, CLASSES, (1 - value, value), MODEL, "1.0")
