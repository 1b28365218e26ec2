"""The page of a finished run (see conftest), as a browser would read it."""

from __future__ import annotations

import base64
import copy
import csv
import io
import json
import re
import shutil
import stat
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import structural_similarity

from fesf.scripts import pipeline, report
from fesf.scripts.data.cohort import CohortError
from fesf.scripts.data.plan import STEPS, main_steps
from fesf.scripts.data.run_folder import RunFolder
from fesf.scripts.report import ReportError, Stages, context, main, render, write_pictures

Finished = tuple[RunFolder, str, list[str]]
NAMES = ("host", "plaintext", "synthetic", "enhanced", "surrogate")


class Page(HTMLParser):
    """Text, pictures and tags of a page; complains of tags that are not closed in order."""

    VOID = ("meta", "img", "link", "br")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.pictures: dict[str, str] = {}
        self.tags: set[str] = set()
        self.words: list[str] = []
        self.feed(html)
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "img":
            values = dict(attrs)
            self.pictures[str(values["alt"])] = str(values["src"])
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)


def decode(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))))


@pytest.fixture(scope="module")
def page(finished: Finished) -> Page:
    return Page(finished[0].report.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def values(finished: Finished) -> dict[str, Any]:
    return context(finished[0])


def test_says_on_its_face_that_it_stays_and_that_it_is_synthetic(page: Page) -> None:
    face = page.text[:600]
    assert "This page stays in the hospital." in face
    assert "Synthetic demo." in face
    assert "no picture shows a person" in face


def test_needs_nothing_from_outside(finished: Finished, page: Page) -> None:
    html = finished[0].report.read_text(encoding="utf-8")
    assert page.tags.isdisjoint({"script", "link", "iframe", "object", "form", "a"})
    assert all(source.startswith("data:image/") for source in page.pictures.values())
    assert "@import" not in html
    assert not re.search(r"url\((?!data:)", html)
    assert "default-src 'none'" in html
    assert not re.search(r"https?://", re.sub(r"base64,[A-Za-z0-9+/=]+", "", html))


def test_shows_every_arms_metrics_with_their_intervals(page: Page, values: dict[str, Any]) -> None:
    assert "Metric Plaintext IHM IHM + IQEM Surrogate Majority class" in page.text
    for kind in ("plaintext", "ihm", "iqem", "surrogate"):
        for metric in values["table"][kind].values():
            if metric["value"] is not None:
                assert f"{metric['value']:.3f} [{metric['low']:.3f}, {metric['high']:.3f}]" in page.text
    assert f"{values['table']['majority']['accuracy']['value']:.3f}" in page.text


def test_shows_recipe_steps_commands_versions_and_limits(page: Page, values: dict[str, Any]) -> None:
    release = values["release"]
    assert release["host_sha256"] in page.text
    assert f"{100 * release['clipped_share']['mean']:.2f} % on average" in page.text
    assert "\u03b1 = 0.1, \u03b2 = 0.5; second pass \u03b1\u2032 = 0.1, \u03b2\u2032 = 0.5" in page.text
    assert "Stage surrogate (hidden twice, the second time in the generator\u2019s image)" in page.text
    assert release["generator_sha256"] in page.text
    assert "Installation: 12 s" in page.text
    assert len(values["steps"]) == len(STEPS) - 1  # its own is not done while it writes
    for step in values["steps"]:
        assert step["command"] in page.text
        assert f"{step['seconds']:.1f} s" in page.text
    for name in ("python 3.", "monai 1.", "torch 2.", "fesf 0."):
        assert name in page.text
    assert "not encrypted and not anonymous" in page.text
    assert "Nothing has been attacked yet in this release." in page.text


def test_the_pictures_are_every_stage_of_test_patients(finished: Finished, page: Page, values: dict[str, Any]) -> None:
    folder, _, _ = finished
    stages = Stages(folder)
    chosen = stages.chosen(report.SHOWN)
    assert len({row["patient"] for row in chosen}) == len(chosen) == len(values["patients"]) > 2
    assert {row["split"] for row in chosen} == {"test"}
    assert [row["label"] for row in chosen[:2]] == ["normal", "opacity"]
    places = {"synthetic": folder.ablation("ihm"), "enhanced": folder.ablation("iqem")}
    stores = {name: (place / "hospital", place / "store") for name, place in places.items()}
    stores["surrogate"] = (folder.hospital, folder.store)
    cohort = (folder.demo / "cohort.csv").read_text().splitlines()
    digest = values["release"]["host_sha256"]
    (host,) = (path for path in (folder.demo / "hosts").iterdir() if sha256(path.read_bytes()).hexdigest() == digest)
    for number, row in enumerate(chosen, 1):
        assert tuple(values["patients"][number - 1]["names"]) == NAMES
        shown = {}
        for name in NAMES:
            alt = f"{name.capitalize()} image of patient {number}"
            shown[name] = decode(page.pictures[alt])[::8, ::8]
            assert f"Log amplitude of the {name} image of patient {number}" in page.pictures
        files = {"host": host, "plaintext": folder.demo / cohort[int(row["row"]) - 1].split(",")[0]}
        for name, (hospital, store) in stores.items():
            with open(hospital / "linkage.csv", newline="") as table:
                (key,) = (line["id"] for line in csv.DictReader(table) if line["row"] == row["row"])
            files[name] = store / "images" / f"{key}.png"
        for name, file in files.items():
            assert np.array_equal(shown[name], np.asarray(Image.open(file))), name
        assert len({shown[name].tobytes() for name in NAMES}) == len(NAMES)
        ssim = structural_similarity(shown["surrogate"] / 255, shown["plaintext"] / 255, data_range=1.0)
        assert values["patients"][number - 1]["ssim"] == pytest.approx(ssim, abs=1e-6)
    assert len([alt for alt in page.pictures if "image of patient" in alt]) == 2 * len(NAMES) * len(chosen)


def test_plaintexts_are_shown_as_they_were_hidden(finished: Finished, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    shutil.copytree(finished[0].root, folder.root)
    settings = json.loads((folder.root / "run.json").read_text())
    plain, changed = Stages(folder), settings | {"intensity_range": {"percentiles": [1, 99]}}
    (folder.root / "run.json").write_text(json.dumps(changed))
    kept = {"percentiles": [1, 99], "range": [20, 180], "hosts": [0, 200]}  # of the files' 8-bit numbers
    (folder.hospital / "intensity.json").write_text(json.dumps(kept))
    found = Stages(folder)
    for (low, high), name in (((20, 180), "plaintext"), ((0, 200), "host")):
        before, after = plain.images(plain.rows[0])[name], found.images(found.rows[0])[name]
        np.testing.assert_allclose(after, np.clip((before * 255 - low) / (high - low), 0, 1), atol=1e-5)
    (folder.root / "run.json").write_text(json.dumps(settings | {"pixel_spacing": [1.0, 1.0]}))
    with pytest.raises(CohortError, match="gives no pixel spacing"):
        Stages(folder).images(plain.rows[0])


def test_the_onlooker_sees_the_host(values: dict[str, Any]) -> None:
    ssim = {row["pair"]: float(row["ssim"].split()[0]) for row in values["onlooker"]}
    hidden = ("surrogate", "enhanced", "synthetic")
    pairs = [f"{name} and {other}" for other in ("plaintext", "host") for name in hidden]
    assert list(ssim) == [*pairs, "host and plaintext (no embedding: the floor)"]
    for name in hidden:
        assert ssim[f"{name} and host"] > ssim[f"{name} and plaintext"]
    assert values["judged"] == values["table"]["n_images"]


def test_quality_shows_the_files_figures(finished: Finished, page: Page, values: dict[str, Any]) -> None:
    folder, _, _ = finished
    figures = json.loads((folder.hospital / "quality.json").read_text())
    kept = json.loads((folder.hospital / "iqem" / "distance.json").read_text())
    assert (
        f"brought the squared MMD to held-out hosts from {kept['val_mmd_synthetic']:.4f} to {kept['val_mmd']:.4f}"
        f" (floor {kept['val_mmd_floor']:.4f}) in epoch {kept['epoch']} of 2, and changed a pixel by"
        f" {kept['val_step']:.3f} on average" in page.text
    )
    titles = {"floor": "Other half of the host domain (floor)", "host": "Copies of the one host"}
    titles |= {name: name.capitalize() for name in NAMES[1:]}
    assert set(figures["distance"]) == set(titles)
    for name, title in titles.items():
        distance, gap = figures["distance"][name], figures["gap_closed"].get(name)
        assert (gap is None) == (name not in ("enhanced", "surrogate"))
        cells = []
        for measure in ("mmd", "frechet"):
            cells += [f"{distance[measure]:.4f}", f"{gap[measure]:+.2f}" if gap else "\u2013"]
        assert " ".join([title, *cells]) in page.text
    assert f"{figures['images_drawn']} images a side throughout" in page.text
    curve = "Distance and losses over the epochs of the generator"
    assert page.pictures[curve].startswith("data:image/svg+xml;base64,")
    sheets = sorted((folder.hospital / "iqem" / "pictures").iterdir())
    assert [path.name for path in sheets] == ["epoch_0002.png"]
    embedded = page.pictures["Rows of hosts, synthetic and enhanced images"]
    assert base64.b64decode(embedded.split(",")[1]) == sheets[-1].read_bytes()
    assert values["quality"]["sheet"] == embedded


def test_a_run_without_the_iqem_has_no_quality_section(finished: Finished, tmp_path: Path, page: Page) -> None:
    """The finished run without all that --no-iqem does not make."""
    folder = RunFolder(tmp_path / "run")
    shutil.copytree(finished[0].root, folder.root)
    for place in (folder.generator, folder.hospital / "ablation"):
        shutil.rmtree(place)
    folder.quality.unlink()
    plan, _ = pipeline.parse(["--out", "run", "--no-iqem"])
    steps = ["make_demo", *(step.name for step in main_steps(plan, 2))]
    folder.save_settings(folder.settings() | {"kinds": ["plaintext", "surrogate", "majority"], "steps": steps})
    release = json.loads((folder.hospital / "release.json").read_text())
    release |= {"stage": "synthetic", "generator_sha256": None, "second_alpha": None, "second_beta": None}
    (folder.hospital / "release.json").write_text(json.dumps(release))
    values = context(folder)
    assert values["quality"] is None
    assert [patient["names"] for patient in values["patients"]] == [["host", "plaintext", "surrogate"]] * len(
        values["patients"]
    )
    assert [row["pair"] for row in values["onlooker"]][:2] == ["surrogate and plaintext", "surrogate and host"]
    once = Page(render(values))
    assert "Metric Plaintext Surrogate Majority class" in once.text
    assert len(values["steps"]) == len(steps) - 1
    for words in ("Distance to the host domain", "IQEM", "The generator makes", "second pass", "hidden twice"):
        assert words in page.text
        assert words not in once.text
    assert "Stage synthetic (one pass of the Image Hidden Module, no enhancement)" in once.text
    assert len(once.pictures) == 6 * len(values["patients"]) + 3


def test_a_run_without_sheets_shows_none(values: dict[str, Any]) -> None:
    bare = copy.deepcopy(values)
    bare["quality"]["sheet"] = None
    pictures = Page(render(bare)).pictures
    assert "Rows of hosts, synthetic and enhanced images" not in pictures
    assert "Distance and losses over the epochs of the generator" in pictures


def test_hostile_names_are_escaped(values: dict[str, Any]) -> None:
    hostile = copy.deepcopy(values)
    hostile["patients"][0]["label"] = "<script>alert(1)</script>"
    hostile["table"]["class_names"] = ["<b>", "\"'>"]
    hostile["steps"][0]["command"] = "</pre><img src=x onerror=alert(1)>"
    page = Page(render(hostile))
    assert "script" not in page.tags
    assert "<script>alert(1)</script>" in page.text
    assert all(source.startswith("data:") for source in page.pictures.values())


def test_a_hospitals_own_run_does_not_call_itself_synthetic(values: dict[str, Any]) -> None:
    own = copy.deepcopy(values)
    own["demo"], own["release"]["secret"] = False, "own"
    own["release"]["intensity_rule"]["scale"] = [0, 4095]
    own["release"]["image_size"] = [32, 32, 16]
    own["table"]["class_names"] = ["a", "b", "c"]
    own["table"]["majority"]["auc"]["value"] = None
    own["settings"]["install_seconds"] = 0
    text = Page(render(own)).text
    for words in ("Synthetic demo", "drawn by a program", "the images are synthetic", "demo\u2019s"):
        assert words in Page(render(values)).text
        assert words not in text
    assert "It shows plaintext images of patients." in text
    assert "intensities 0 to 4095 become 0 to 1" in text
    assert "Of each volume its middle slice" in text
    assert "the most probable class is decided" in text
    assert "the hospital\u2019s own" in text
    assert "Installation" not in text


def test_page_is_private(finished: Finished) -> None:
    assert stat.S_IMODE(finished[0].report.stat().st_mode) == 0o600


def test_pictures_for_documentation_come_from_the_demo_only(
    finished: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _, _ = finished
    assert main(["--run", str(folder.root), "--pictures", str(tmp_path / "pictures")]) == 0
    names = {path.stem for path in (tmp_path / "pictures").iterdir()}
    assert names == {f"{name}{kind}" for name in NAMES for kind in ("", "_spectrum")}
    assert capsys.readouterr().out.count("Picture: ") == 2 * len(NAMES)
    own = tmp_path / "own"
    own.mkdir()
    RunFolder(own).save_settings(folder.settings() | {"demo": False})
    with pytest.raises(ReportError, match="pictures of patients stay in its report"):
        write_pictures(own, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_says_what_a_run_lacks(finished: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--run", str(tmp_path)]) == 2
    assert "is not a run's folder" in capsys.readouterr().err
    broken = tmp_path / "broken"
    shutil.copytree(finished[0].root, broken)
    parts = ("analyst/eval/history.csv", "hospital/quality.json", "hospital/iqem/distance.json")
    for part in (*parts, "hospital/iqem/history.csv", "hospital/ablation/iqem/eval/metrics.json"):
        content = (broken / part).read_bytes()
        (broken / part).unlink()
        assert main(["--run", str(broken)]) == 2
        error = capsys.readouterr().err
        assert re.search(rf"The run lacks '.*{re.escape(part)}': let python -m fesf\.scripts\.pipeline", error), error
        (broken / part).write_bytes(content)
    release = broken / "hospital" / "release.json"
    release.write_text(json.dumps(json.loads(release.read_text()) | {"host_sha256": "0" * 64}))
    assert main(["--run", str(broken)]) == 2
    assert "is the release's host: point it at the folder that was used" in capsys.readouterr().err


def test_versions_say_what_is_not_installed(monkeypatch: pytest.MonkeyPatch, values: dict[str, Any]) -> None:
    monkeypatch.setattr(report, "SOFTWARE", ("monai", "no-such-package"))
    assert report._versions()["no-such-package"] == "not installed"


def test_spread_says_when_images_are_equal() -> None:
    assert report._spread([float("inf"), float("inf")]) == "equal"
    assert report._spread([20.0, 22.0]) == "21.0 ± 1.0"
    assert report._spread([0.25, 0.75]) == "0.500 ± 0.250"
