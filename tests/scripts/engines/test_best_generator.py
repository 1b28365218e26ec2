"""The generator is judged by its images' distance to the hosts, and the best one is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine, State
from monai.data import DataLoader
from monai.engines import SupervisedEvaluator
from torch import nn

from fesf.networks import EnhancementGenerator
from fesf.scripts.data.distance import HostDistance
from fesf.scripts.data.unpaired import HostHalves, ImageStack
from fesf.scripts.engines.best_generator import BestGenerator, HostCloseness, load_generator
from tests.conftest import smooth


def images(first: int, count: int) -> torch.Tensor:
    return torch.from_numpy(np.stack([smooth(first + index, (16, 16)) for index in range(count)])).float()[:, None]


class Add(nn.Module):
    """Adds its one weight."""

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([value]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images + self.weight


HALVES = HostHalves(images(0, 12), images(20, 10))


def evaluate(
    network: nn.Module, metric: HostCloseness, handler: Any = None, shift: float = -0.2
) -> SupervisedEvaluator:
    evaluator = SupervisedEvaluator(
        torch.device("cpu"), DataLoader(ImageStack(images(40, 9) + shift), batch_size=4), network,
        key_val_metric={"val_closeness": metric}, val_handlers=[handler] if handler else [], decollate=False,
    )  # fmt: skip
    evaluator.run()
    return evaluator


def test_figures_are_those_of_the_distance() -> None:
    distance = HostDistance(HALVES.training, HALVES.held_out)
    synthetic = images(40, 9) - 0.2
    metric = HostCloseness(HALVES)
    for weight in (0.15, 0.0):  # the metric forgets the epoch before
        closeness = evaluate(Add(weight), metric).state.metrics["val_closeness"]
        before, floor, now = distance(synthetic), distance.floor(9), distance(synthetic + weight)
        assert closeness == pytest.approx(-now["mmd"], abs=1e-6)
        share = (before["mmd"] - now["mmd"]) / (before["mmd"] - floor["mmd"])
        assert metric.last == {
            "val_mmd": pytest.approx(now["mmd"], abs=1e-6),
            "val_frechet": pytest.approx(now["frechet"], rel=1e-5),
            "val_gap_closed": pytest.approx(share, abs=1e-5),
            "val_step": pytest.approx(weight, abs=1e-6),
            "val_mmd_synthetic": before["mmd"],
            "val_mmd_floor": floor["mmd"],
        }
    assert metric.last["val_gap_closed"] == pytest.approx(0, abs=1e-9)


def test_the_right_step_closes_the_gap() -> None:
    metric = HostCloseness(HALVES)
    evaluate(Add(0.2), metric)
    assert metric.last["val_gap_closed"] == pytest.approx(1, abs=0.1)
    away = HostCloseness(HALVES)
    evaluate(Add(-0.05), away, shift=-0.05)
    assert away.last["val_gap_closed"] < -0.5


def judge(best: BestGenerator, epoch: int, share: float, weight: float, step: float = 0.1) -> Engine:
    engine = Engine(lambda engine, batch: None)
    engine.state = State(epoch=epoch, metrics={})
    best.metric.last = {"val_gap_closed": share, "val_mmd": 1 - share / 3, "val_step": step}
    with torch.no_grad():
        best.network.weight.fill_(weight)  # type: ignore[operator,union-attr]
    best(engine)
    return engine


def make(folder: Path) -> BestGenerator:
    return BestGenerator(folder, Add(), HostCloseness(HALVES))


def kept(folder: Path) -> tuple[int, float, float]:
    weights = torch.load(folder / "generator.pt", weights_only=True)
    assert list(weights) == ["weight"]  # the raw state dict
    document = json.loads((folder / "distance.json").read_text())
    return document["epoch"], weights["weight"].item(), document["val_gap_closed"]


def test_keeps_the_best_not_the_last(tmp_path: Path) -> None:
    folder = tmp_path / "iqem"
    best = make(folder)
    judge(best, 1, -0.5, 1.0)
    assert kept(folder) == (1, 1.0, -0.5)
    judge(best, 2, 0.6, 2.0)
    assert kept(folder) == (2, 2.0, 0.6)
    for epoch, share in ((3, 0.6), (4, 0.59), (5, -2.0)):
        judge(best, epoch, share, float(epoch))
        assert kept(folder) == (2, 2.0, 0.6)
    judge(best, 6, 0.61, 6.0)
    assert kept(folder) == (6, 6.0, 0.61)
    assert json.loads((folder / "distance.json").read_text())["val_mmd"] == round(1 - 0.61 / 3, 6)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == {
        "generator.pt": 0o600, "distance.json": 0o600,
    }  # fmt: skip


def test_figures_join_the_evaluators_metrics(tmp_path: Path) -> None:
    best = make(tmp_path / "iqem")
    assert judge(best, 1, 0.3, 1.0).state.metrics == best.metric.last
    evaluator = evaluate(Add(0.15), best.metric, best)
    assert set(evaluator.state.metrics) == {"val_closeness", *best.metric.last}
    assert {"val_mmd", "val_frechet", "val_gap_closed", "val_step"} <= set(best.metric.last)


def test_kept_weights_are_a_copy(tmp_path: Path) -> None:
    best = make(tmp_path / "iqem")
    judge(best, 1, 0.8, 1.0)
    judge(best, 2, 0.1, 2.0)
    assert best.state_dict()["best"]["weights"]["weight"].item() == 1.0


def test_memory_survives_and_files_come_back(tmp_path: Path) -> None:
    first = make(tmp_path / "first")
    assert first.state_dict() == {"best": {}}
    make(tmp_path / "none").load_state_dict(first.state_dict())
    assert not (tmp_path / "none").exists()
    judge(first, 3, 0.4, 1.0)
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second = make(tmp_path / "second")
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert kept(tmp_path / "second") == (3, 1.0, 0.4)
    for name in ("generator.pt", "distance.json"):
        assert (tmp_path / "second" / name).read_bytes() == (tmp_path / "first" / name).read_bytes()
        assert (tmp_path / "second" / name).stat().st_mode & 0o777 == 0o600
    judge(second, 4, 0.3, 2.0)
    assert kept(tmp_path / "second") == (3, 1.0, 0.4)


@pytest.mark.parametrize("share", [float("nan"), float("inf")])
def test_a_diverged_generator_stops_the_run(tmp_path: Path, share: float) -> None:
    with pytest.raises(ValueError, match="not finite: the generator has diverged; lower its rate"):
        judge(make(tmp_path / "iqem"), 1, share, 1.0)
    assert not (tmp_path / "iqem").exists()


def test_the_identity_is_refused(tmp_path: Path) -> None:
    best = make(tmp_path / "iqem")
    message = r"The generator stayed the identity \(mean change {}, at least 0.001\): train longer, or lower content_w"
    with pytest.raises(ValueError, match=message.format(r"0\.0e\+00")):
        best.refuse_identity()
    judge(best, 1, 0.2, 1.0, step=9e-4)
    with pytest.raises(ValueError, match=message.format(r"9\.0e-04")):
        best.refuse_identity()
    judge(best, 2, 0.1, 1.0, step=0.1)  # not the one that is kept
    with pytest.raises(ValueError, match=message.format(r"9\.0e-04")):
        best.refuse_identity()
    judge(best, 3, 0.3, 1.0, step=1.1e-3)
    best.refuse_identity()


def test_load_generator(tmp_path: Path) -> None:
    trained = EnhancementGenerator(2, channels=(4, 8))
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(0.1)
    torch.save(trained.state_dict(), tmp_path / "generator.pt")
    fresh = EnhancementGenerator(2, channels=(4, 8)).train()
    loaded = load_generator(tmp_path / "generator.pt", fresh)
    assert loaded is fresh
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    batch = images(0, 2)
    assert torch.equal(loaded(batch), trained.eval()(batch))


class Evil:
    def __reduce__(self) -> Any:
        return print, ("code ran",)


def test_load_generator_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = EnhancementGenerator(2, channels=(4, 8))
    assert load_generator(None, network) is None
    with pytest.raises(ValueError, match=r"generator_file '.*nowhere.pt' is not a file: train one with enhance.json"):
        load_generator(tmp_path / "nowhere.pt", network)
    path = tmp_path / "generator.pt"
    torch.save(EnhancementGenerator(2, channels=(4, 8, 16)).state_dict(), path)
    with pytest.raises(ValueError, match=r"generator.pt' does not fit generator_def \(RuntimeError\): give hide.json"):
        load_generator(path, network)
    path.write_bytes(b"no weights")
    with pytest.raises(ValueError, match=r"does not fit generator_def \(\w+\)"):
        load_generator(path, network)
    torch.save({"last.weight": Evil()}, path)
    with pytest.raises(ValueError, match=r"does not fit generator_def \(UnpicklingError\)"):
        load_generator(path, network)
    assert "code ran" not in capsys.readouterr().out


def test_an_epoch_counts_by_its_distance_even_where_synthetic_images_lie_at_the_floor(tmp_path: Path) -> None:
    best = make(tmp_path / "iqem")
    for epoch, mmd, share in ((1, 0.20, 30.0), (2, 0.05, -2.0), (3, 0.10, 9.0)):  # a gap below 0 turns the share round
        engine = Engine(lambda engine, batch: None)
        engine.state = State(epoch=epoch, metrics={})
        best.metric.last = {"val_mmd": mmd, "val_gap_closed": share, "val_step": 0.1}
        best(engine)
    assert json.loads((tmp_path / "iqem" / "distance.json").read_text())["epoch"] == 2
