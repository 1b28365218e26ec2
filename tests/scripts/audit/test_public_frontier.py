"""The frontier's settings as jobs: what they hide, with whose secret and splits, and when they are done again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fesf.scripts.audit import public_frontier, settings
from fesf.scripts.audit.public_frontier import ALPHA, BETA, LIMITS, POINTS, Bound, Tried, frontier_jobs, measurable
from fesf.scripts.data import grid
from fesf.scripts.data.grid import Source
from fesf.scripts.data.run_folder import configs_folder


@pytest.fixture
def source(tmp_path: Path) -> Source:
    found = Source("demo", 0, "", str(tmp_path))
    found.folder.mkdir(parents=True)
    (found.folder / "done.json").write_text(json.dumps({"key": found.key}))
    found.cohort.parent.mkdir()
    found.cohort.write_text("image,label,patient\na.png,normal,A\nb.png,opacity,B\n")
    return found


def test_every_setting_is_tried_once_and_the_default_in_each_stage(source: Source) -> None:
    assert len(POINTS) == len(set(POINTS)) == 5 * 3 + 1 + 5 + 2
    assert {(stage, 0.1, 0.5) for stage in ("synthetic", "enhanced", "surrogate")} <= set(POINTS)
    jobs = list(frontier_jobs(source))
    assert [job.title for job in jobs[:2]] == [f"demo/0/frontier/synthetic-0.02-{beta}" for beta in ("0.25", "0.5")]
    assert isinstance(jobs[-1], Bound)
    assert {job.after for job in jobs} == {(source,)}
    assert len({job.key for job in jobs}) == len({job.folder for job in jobs}) == len(POINTS) + 1


def test_a_setting_is_hidden_with_the_sources_secret_splits_and_generator(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, object] = {}

    def stop(configs: list[str], run_id: str, kind: str = "train", **ids: object) -> None:
        seen.update(ids)
        raise KeyboardInterrupt

    monkeypatch.setattr(grid, "run_bundle", stop)
    with pytest.raises(KeyboardInterrupt):
        Tried(source, "surrogate", 0.25, 0.5).work()
    place = source.folder
    assert seen["cohort"] == place / "cohort/cohort.csv"
    assert seen["hosts_dir"] == place / "cohort/hosts"
    assert seen["previous_splits"] == place / "hospital/splits.csv"
    assert seen["generator_file"] == place / "hospital/iqem/generator.pt"
    assert (seen["alpha"], seen["beta"], seen["stage"]) == (0.25, 0.5, "surrogate")
    secret = seen["secret_file"]
    assert isinstance(secret, Path)
    assert secret.read_bytes() == source.secret().read_bytes()


def test_plaintexts_are_trained_on_the_sources_splits(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[list[str], object]] = []

    def stop(configs: list[str], run_id: str, **ids: object) -> None:
        seen.append((configs, ids["splits"]))
        raise KeyboardInterrupt

    monkeypatch.setattr(settings, "run_bundle", stop)
    with pytest.raises(KeyboardInterrupt):
        Bound(source).work()
    assert seen == [(["train", "plaintext"], source.hospital / "splits.csv")]


def test_a_refused_generator_leaves_nothing_to_try(source: Source) -> None:
    (source.folder / "done.json").write_text(json.dumps({"key": source.key, "refused": "stayed the identity"}))
    assert Tried(source, "synthetic", 0.1, 0.5).work() == {}


def test_other_attacks_are_another_job(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Tried(source, "synthetic", 0.1, 0.5)
    before = job.key
    monkeypatch.setattr(public_frontier, "settings_of", lambda attack: "another")
    assert job.key != before


def test_the_default_is_hides_and_the_limits_are_the_examples() -> None:
    own = json.loads((configs_folder() / "hide.json").read_text())
    assert (own["alpha"], own["beta"]) == (ALPHA, BETA)
    example = " ".join(f"--most-{risk} {limit:g}" for risk, limit in LIMITS.items())
    assert example in (Path(__file__).parents[3] / "docs" / "audit.md").read_text()


def test_what_a_set_cannot_measure_has_no_limit() -> None:
    row = {"test": {"reidentification": None, "inversion": {"value": 1.0}}}
    assert measurable([row, {"refused": "failed the phase check"}]) == {"inversion": 2.0}
    assert measurable([{"test": {"reidentification": {"value": 0.1}, "inversion": {"value": 1.0}}}]) == {
        "reidentification": 0.3, "inversion": 2.0
    }  # fmt: skip
