"""A resumed training ends as the uninterrupted one, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.bundle.tiny import root_cause, run


def train(folder: Path, store: Path, **override: object) -> None:
    run(
        "train.json",
        dataset_dir=str(store), ckpt_dir=str(folder), output_dir=str(folder), epochs=4, patience=9,
        **override,
    )  # fmt: skip


def equal(first: object, second: object) -> bool:
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)  # type: ignore[arg-type]
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[key], second[key]) for key in first)  # type: ignore[attr-defined,index]
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(equal, first, second))  # type: ignore[arg-type]
    return first == second


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, store: Path) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    train(folder, store)
    return folder


def same(first: Path, second: Path) -> None:
    for name in ("last.pt", "model.pt"):
        states = [torch.load(folder / name, weights_only=True) for folder in (first, second)]
        assert equal(*states), name
    for name in ("history.csv", "operating_point.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


@pytest.mark.parametrize("stop", [1, 3])
def test_resumed_run_is_the_uninterrupted_one(tmp_path: Path, store: Path, whole: Path, stop: int) -> None:
    train(tmp_path, store, **{"train#trainer#max_epochs": stop})
    train(tmp_path / "moved", store, resume=str(tmp_path / "last.pt"))  # even into another folder
    same(whole, tmp_path / "moved")


def test_other_seed_differs(tmp_path: Path, store: Path, whole: Path) -> None:
    train(tmp_path, store, seed=1)
    with pytest.raises(AssertionError, match=r"last\.pt"):
        same(whole, tmp_path)


def test_workers_resume_too(tmp_path: Path, store: Path) -> None:
    train(tmp_path / "a", store, num_workers=2, **{"train#trainer#max_epochs": 2})
    train(tmp_path / "b", store, num_workers=2, **{"train#trainer#max_epochs": 1})
    train(
        tmp_path / "b", store, num_workers=2, resume=str(tmp_path / "b" / "last.pt"), **{"train#trainer#max_epochs": 2}
    )
    same(tmp_path / "a", tmp_path / "b")


def test_finished_run_stays_as_it_is(tmp_path: Path, store: Path, whole: Path) -> None:
    before = (whole / "last.pt").read_bytes()
    train(whole, store, resume=str(whole / "last.pt"))
    assert (whole / "last.pt").read_bytes() == before


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"train#trainer#max_epochs": 2}, "resume is of epoch 4, epochs is 2: raise epochs"),
        ({"batch_size": 4}, "resume had 3 batches an epoch, now there are 6"),
    ],
)
def test_mistakes(tmp_path: Path, store: Path, whole: Path, override: dict, message: str) -> None:
    with pytest.raises(RuntimeError) as error:
        train(tmp_path, store, resume=str(whole / "last.pt"), **override)
    with pytest.raises(ValueError, match=message):
        raise root_cause(error.value)
