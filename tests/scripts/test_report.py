"""The page of a finished run (see conftest), as a browser would read it."""

from __future__ import annotations

import base64
import copy
import io
import json
import re
import shutil
import stat
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import structural_similarity

from fesf.scripts import report
from fesf.scripts.data.run_folder import RunFolder
from fesf.scripts.report import ReportError, Triples, context, main, render, write_pictures

Finished = tuple[RunFolder, str, list[str]]


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


def test_shows_every_metric_with_its_interval(page: Page, values: dict[str, Any]) -> None:
    for kind in ("plaintext", "surrogate"):
        for metric in values["table"][kind].values():
            if metric["value"] is not None:
                assert f"{metric['value']:.3f} [{metric['low']:.3f}, {metric['high']:.3f}]" in page.text
    assert f"{values['table']['majority']['accuracy']['value']:.3f}" in page.text


def test_shows_recipe_steps_commands_versions_and_limits(page: Page, values: dict[str, Any]) -> None:
    release = values["release"]
    assert release["host_sha256"] in page.text
    assert f"{100 * release['clipped_share']['mean']:.2f} % on average" in page.text
    assert "\u03b1 = 0.1, \u03b2 = 0.5" in page.text
    assert "Installation: 12 s" in page.text
    assert len(values["steps"]) == 8  # its own is not done while it writes
    for step in values["steps"]:
        assert step["command"] in page.text
        assert f"{step['seconds']:.1f} s" in page.text
    for name in ("python 3.", "monai 1.", "torch 2.", "fesf 0."):
        assert name in page.text
    assert "not encrypted and not anonymous" in page.text
    assert "Nothing has been attacked yet in this release." in page.text


def test_the_pictures_are_host_plaintext_and_surrogate_of_test_patients(
    finished: Finished, page: Page, values: dict[str, Any]
) -> None:
    folder, _, _ = finished
    triples = Triples(folder)
    chosen = triples.chosen(report.SHOWN)
    assert len({row["patient"] for row in chosen}) == len(chosen) == len(values["patients"]) > 2
    assert {row["split"] for row in chosen} == {"test"}
    assert [row["label"] for row in chosen[:2]] == ["normal", "opacity"]
    for number, row in enumerate(chosen, 1):
        shown = {
            name: np.asarray(Image.open(io.BytesIO(base64.b64decode(page.pictures[alt].split(",")[1]))))[::8, ::8]
            for name, alt in (
                ("host", f"Host (public) of patient {number}"),
                ("plaintext", f"Plaintext of patient {number}"),
                ("surrogate", f"Surrogate of patient {number}"),
            )
        }
        cohort = (folder.demo / "cohort.csv").read_text().splitlines()
        file = cohort[int(row["row"]) - 1].split(",")[0]
        assert np.array_equal(shown["plaintext"], np.asarray(Image.open(folder.demo / file)))
        assert np.array_equal(shown["surrogate"], np.asarray(Image.open(folder.store / "images" / f"{row['id']}.png")))
        hosts = [np.asarray(Image.open(path)) for path in (folder.demo / "hosts").iterdir()]
        assert any(np.array_equal(shown["host"], host) for host in hosts)
        ssim = structural_similarity(shown["surrogate"] / 255, shown["plaintext"] / 255, data_range=1.0)
        assert values["patients"][number - 1]["ssim"] == pytest.approx(ssim, abs=1e-6)


def test_the_onlooker_sees_the_host(values: dict[str, Any]) -> None:
    ssim = {row["pair"]: float(row["ssim"].split()[0]) for row in values["onlooker"]}
    assert len(ssim) == 3
    assert ssim["surrogate and host"] > ssim["surrogate and plaintext"]
    assert values["judged"] == values["table"]["n_images"]


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
    assert "ynthetic" not in text.replace("synthetic (one pass", "")
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
    assert names == {f"{name}{kind}" for name in ("host", "plaintext", "surrogate") for kind in ("", "_spectrum")}
    assert capsys.readouterr().out.count("Picture: ") == 6
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
    (broken / "analyst" / "eval" / "history.csv").unlink()
    assert main(["--run", str(broken)]) == 2
    assert re.search(r"The run lacks '.*history\.csv': let python -m fesf\.scripts\.pipeline", capsys.readouterr().err)
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
