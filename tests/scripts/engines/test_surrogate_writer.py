"""The writer checks every image of every stage, whatever a generator does, and hands over what it checked."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from PIL import Image
from torch import Tensor, nn

from fesf.networks import SurrogateNet
from fesf.networks.surrogate import STAGES
from fesf.scripts.data.cohort import CohortDataset, CohortError, LoadImageCohortd
from fesf.scripts.data.hosts import HostPool
from fesf.scripts.data.phase import PhaseCheck, check_phase
from fesf.scripts.data.recipe import Recipe
from fesf.scripts.data.release import Release
from fesf.scripts.engines.surrogate_writer import StagesInferer, SurrogateWriter
from tests.conftest import smooth

SHAPE = (24, 24)


class Brighten(nn.Module):
    """An honest generator."""

    def forward(self, images: Tensor) -> Tensor:
        return 0.8 * images + 0.15


class Leak(nn.Module):
    """Mixes a share of the plaintext in, which it must not know."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share, self.plain = share, torch.zeros(())

    def forward(self, images: Tensor) -> Tensor:
        return (1 - self.share) * images + self.share * self.plain


class LeakyNet(SurrogateNet):
    """A pipeline that tells its generator the plaintext."""

    def _stages(self, image: Tensor) -> dict[str, Tensor]:
        self.generator.plain = image  # type: ignore[union-attr]
        return super()._stages(image)


class Taking(Release):
    """A release that keeps what it is given."""

    taken: list[tuple[int, bytes, float, PhaseCheck]]

    def add(self, row: Any, content: bytes, clipped: float, check: PhaseCheck) -> None:
        self.taken.append((row.row, content, clipped, check))
        super().add(row, content, clipped, check)


class Hospital:
    """A cohort, its hosts, and the engine that hides it row by row as hide.json does."""

    def __init__(self, folder: Path, stage: str, bits: int = 8, dry_run: bool = False) -> None:
        digest = None if stage == "synthetic" else "ab"
        self.recipe = Recipe("r", 0.2, 0.6, stage=stage, generator_sha256=digest, image_size=SHAPE, bit_depth=bits)
        self.pool = HostPool(folder / "hosts", self.recipe)
        places = (folder / "cohort.csv", folder / "store", folder / "hospital", folder / "secret")
        self.release = Taking(self.recipe, *places, dry_run=dry_run)
        self.release.taken = []
        (self.release.folders.partial / "images").mkdir(parents=True)
        self.release.journal.path.parent.mkdir(exist_ok=True)
        self.release.journal.start("host")
        loader = LoadImageCohortd("image", SHAPE)
        self.data = CohortDataset(self.release.pending, loader, folder)

    @property
    def plains(self) -> list[Tensor]:
        return [self.data[index]["image"] for index in range(len(self.data))]

    def network(self, generator: nn.Module, kind: type[SurrogateNet] = SurrogateNet) -> SurrogateNet:
        given = None if self.recipe.stage == "synthetic" else generator
        return kind(self.pool.host, 0.2, 0.6, given, stage=self.recipe.stage)

    def hide(self, network: Any, at_once: int = 1) -> None:
        def step(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
            return {"pred": StagesInferer()(batch["image"], network)}

        engine = Engine(step)
        SurrogateWriter(self.release, self.pool).attach(engine)
        engine.run(torch.utils.data.DataLoader(self.data, batch_size=at_once), max_epochs=1)


@pytest.mark.parametrize("shape", [(24, 25), (9, 10, 11)])
@pytest.mark.parametrize("stage", STAGES)
def test_inferer_gives_the_stages_in_order_and_a_shifted_plaintexts_last(stage: str, shape: tuple[int, ...]) -> None:
    host = torch.from_numpy(smooth(0, shape)).float()[None]
    batch = torch.from_numpy(smooth(1, shape)).float()[None, None]
    network = SurrogateNet(host, 0.2, 0.6, Brighten(), stage=stage)
    seen: list[Tensor] = []
    network.stages = lambda plain: seen.append(plain) or SurrogateNet.stages(network, plain)  # type: ignore[method-assign,assignment,func-returns-value]
    found = StagesInferer()(batch, network)
    expected = STAGES[: STAGES.index(stage) + 1]
    assert tuple(found) == (expected if stage == "synthetic" else (*expected, "shifted"))
    assert torch.equal(found[stage], network(batch))
    if stage != "synthetic":
        shifted = np.roll(batch.numpy(), [length // 3 for length in shape], range(2, batch.ndim))
        assert np.array_equal(seen[1].numpy(), shifted)
        assert torch.equal(found["shifted"], network(torch.from_numpy(shifted)))


def test_inferer_takes_another_network_as_it_is() -> None:
    batch = torch.rand(1, 1, 8, 8)
    found = StagesInferer()(batch, nn.Identity())
    assert list(found) == ["synthetic"]
    assert found["synthetic"] is batch


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("stage", STAGES)
def test_files_hold_the_last_stage_and_the_check_is_of_the_file(
    make_cohort: Callable[..., Path], stage: str, bits: int
) -> None:
    hospital = Hospital(make_cohort(4), stage, bits)
    network = hospital.network(Brighten())
    hospital.hide(network)
    assert len(hospital.release.taken) == 8
    for (row, content, clipped, check), plain, planned in zip(
        hospital.release.taken, hospital.plains, hospital.release.pending, strict=True
    ):
        assert row == planned.row
        stages = {name: images[0] for name, images in network.stages(plain[None]).items()}
        written = np.asarray(Image.open(io.BytesIO(content))).astype(float)
        levels = 2**bits - 1
        assert np.abs(written.T - stages[stage][0].numpy() * levels).max() <= 0.5 + 1e-3
        file = torch.from_numpy(written.T / levels)[None]
        host = hospital.pool.host if stage == "synthetic" else stages["enhanced"]
        assert check == check_phase(file, host, plain, check.shift_change)
        assert check.shift_change < 1e-5
        if stage == "synthetic":
            assert check.shift_change == 0
        else:
            shifted = network(plain.roll((8, 8), (1, 2))[None])[0]
            assert check.shift_change == float((stages[stage] - shifted).abs().max())
        assert clipped == pytest.approx(float(((stages[stage] == 0) | (stages[stage] == 1)).float().mean()))


@pytest.mark.parametrize("stage", STAGES)
def test_a_batch_gives_what_its_images_give_alone(make_cohort: Callable[..., Path], stage: str) -> None:
    folder = make_cohort(4)
    taken = []
    for at_once in (1, 3, 8):
        hospital = Hospital(folder, stage)
        hospital.hide(hospital.network(Brighten()), at_once)
        taken.append(hospital.release.taken)
        shutil.rmtree(folder / "store.partial")
        shutil.rmtree(folder / "hospital")
    assert len(taken[0]) == 8
    assert taken[1] == taken[0]
    assert taken[2] == taken[0]


def test_what_is_before_a_row_that_stops_the_run_is_kept(make_cohort: Callable[..., Path]) -> None:
    folder = make_cohort(4)
    hospital = Hospital(folder, "surrogate")
    bad = hospital.release.pending[5]
    (folder / bad.image).write_text("no image")
    with pytest.raises(CohortError, match=f"^Row {bad.row} of the cohort: its image cannot be read"):
        hospital.hide(hospital.network(Brighten()), at_once=8)
    assert [row for row, *_ in hospital.release.taken] == [row.row for row in hospital.release.pending[:5]]
    assert len(list((hospital.release.folders.partial / "images").iterdir())) == 5


@pytest.mark.parametrize("share", [0.01, 0.3, 1.0])
@pytest.mark.parametrize("stage", ["enhanced", "surrogate"])
def test_a_generator_that_lets_the_plaintext_through_publishes_nothing(
    make_cohort: Callable[..., Path], stage: str, share: float
) -> None:
    """The surrogate has the phase of the generator's output then: only the shift tells."""
    hospital = Hospital(make_cohort(4), stage)
    row = hospital.release.pending[0].row
    with pytest.raises(
        CohortError, match=f"^Row {row} of the cohort: its surrogate failed the phase check .*"
    ) as caught:
        hospital.hide(hospital.network(Leak(share), LeakyNet))
    check = hospital.release.taken[0][3]
    assert check.coherence > 0.9
    assert check.excess < 0.12
    assert check.shift_change > 0.3 * share
    assert f"change under a shift of the plaintext {check.shift_change:.1e}, at most 1e-03" in str(caught.value)
    assert "Nothing was published" in str(caught.value)
    assert list((hospital.release.folders.partial / "images").iterdir()) == []


@pytest.mark.parametrize("at_once", [1, 4])
def test_a_later_image_is_checked_as_the_first(make_cohort: Callable[..., Path], at_once: int) -> None:
    hospital = Hospital(make_cohort(4), "surrogate")
    third = hospital.plains[2]

    class Sometimes(LeakyNet):
        def _stages(self, image: Tensor) -> dict[str, Tensor]:
            self.generator.share = 0.5 if torch.equal(image, third) else 0.0  # type: ignore[union-attr,assignment]
            return super()._stages(image)

    with pytest.raises(CohortError, match=f"^Row {hospital.release.pending[2].row} of the cohort"):
        hospital.hide(hospital.network(Leak(0.0), Sometimes), at_once)
    assert [check.passed for *_, check in hospital.release.taken] == [True, True, False]


def test_plaintexts_do_not_pass_without_a_generator(make_cohort: Callable[..., Path]) -> None:
    hospital = Hospital(make_cohort(4), "synthetic")
    with pytest.raises(CohortError, match=r"failed the phase check \(coherence with the host -?0\.\d+, at least 0.7"):
        hospital.hide(nn.Identity())


def test_rows_that_cannot_be_read_and_copies_of_hosts(make_cohort: Callable[..., Path]) -> None:
    folder = make_cohort(4)
    (folder / "images" / "SCHMIDT-2-0.png").write_text("no image")
    copy = (folder / "hosts" / "1.png").read_bytes()
    (folder / "images" / "SCHMIDT-3-1.png").write_bytes(copy)
    hospital = Hospital(folder, "surrogate", dry_run=True)
    hospital.hide(hospital.network(Brighten()), at_once=3)
    excluded = dict(hospital.release.excluded)
    assert set(excluded) == {6, 9}
    assert "cannot be read" in excluded[6]
    assert "nearly equals a host" in excluded[9]
    assert len(hospital.release.taken) == 6
