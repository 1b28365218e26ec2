"""Reading a release for its audit, from a run of the pipeline's own commands."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import zoom

from fesf.scripts.audit.evidence import attacked_pass, kept_recipe, numbered, read_scene
from fesf.scripts.audit.gateway import GENERATOR
from fesf.scripts.data.cohort import CohortError
from fesf.scripts.data.recipe import Recipe


@pytest.fixture(scope="module")
def release(finished):
    """The finished run's folders, as read_scene takes them."""
    folder, _, _ = finished
    return {
        "cohort": folder.demo / "cohort.csv",
        "store": folder.store,
        "hospital": folder.hospital,
        "hosts": folder.demo / "hosts",
    }


def table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_what_is_read_is_what_the_files_hold(release):
    scene = read_scene(**release)
    linkage = table(release["hospital"] / "linkage.csv")
    rows = table(release["cohort"])
    for section, images in (("training", scene.known), ("test", scene.victims)):
        links = [link for link in linkage if link["split"] == section]
        assert len(images) == len(links)
        for position in (0, len(links) - 1):
            link = links[position]
            stored = np.asarray(Image.open(release["store"] / "images" / f"{link['id']}.png")) / 255
            found = images.seen[position]  # axes as MONAI's readers give them
            np.testing.assert_allclose(found.T, stored, atol=1e-6)
            row = rows[int(link["row"]) - 2]
            assert row["patient"] == link["patient"]
            assert images.attributes["sex=F" if "sex=F" in images.attributes else "sex=M"][position] == int(
                row["sex"] == ("F" if "sex=F" in images.attributes else "M")
            )
            plain = np.asarray(Image.open(release["cohort"].parent / row["image"]).convert("L")) / 255
            small = zoom(plain, found.shape[0] / plain.shape[0], order=1) if plain.shape != found.shape else plain
            assert np.corrcoef(small.ravel(), images.plain[position].T.ravel())[0, 1] > 0.95
        patients = {link["patient"]: number for link, number in zip(links, images.patients, strict=True)}
        assert [patients[link["patient"]] for link in links] == images.patients.tolist()
        assert len(set(images.studies.tolist())) == len({(link["patient"], link["study"]) for link in links})
    recipe = json.loads((release["hospital"] / "release.json").read_text())
    assert (scene.alpha, scene.beta) == (recipe["second_alpha"], recipe["second_beta"])
    assert (scene.stage, scene.levels, scene.scheme) == ("surrogate", 255, None)
    assert scene.host.shape == scene.pool.shape[1:] == (32, 32)


def test_the_pipeline_makes_the_files_of_the_store(release, tmp_path):
    scene = read_scene(**release)
    assert scene.stage == "surrogate"
    np.testing.assert_allclose(scene.pipeline(scene.victims.plain, scene.host), scene.victims.seen, atol=1e-6)
    moved = shutil.copytree(release["hospital"], tmp_path / "hospital", ignore=shutil.ignore_patterns("iqem", "plain*"))
    assert read_scene(**release | {"hospital": moved}).pipeline is None
    named = read_scene(**release | {"hospital": moved}, generator_file=release["hospital"] / GENERATOR)
    assert named.pipeline is not None
    with pytest.raises(ValueError, match="not the generator of this release"):
        read_scene(**release, generator_file=moved / "release.json")


def test_the_parts_must_be_of_one_release(release, tmp_path):
    with pytest.raises(ValueError, match=r"has no release\.json"):
        read_scene(**release | {"hospital": tmp_path})
    hosts = tmp_path / "hosts"
    hosts.mkdir()
    for path in sorted(release["hosts"].iterdir())[:3]:
        shutil.copy(path, hosts / f"other-{path.name}")
    with pytest.raises(ValueError, match="does not give the host of this release"):
        read_scene(**release | {"hosts": hosts})
    lines = release["cohort"].read_text().splitlines()
    shifted = release["cohort"].parent / "shifted.csv"
    try:
        shifted.write_text("\n".join([lines[0], *lines[2:]]) + "\n")
        with pytest.raises(CohortError, match=r"Row \d+ of the cohort is not the one of the linkage"):
            read_scene(**release | {"cohort": shifted})
    finally:
        shifted.unlink()


def test_volumes_are_refused(release, tmp_path):
    document = json.loads((release["hospital"] / "release.json").read_text())
    document["image_size"] = [32, 32, 8]
    (tmp_path / "release.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match="holds volumes"):
        read_scene(**release | {"hospital": tmp_path})


def test_a_release_without_test_patients_has_nobody_to_attack(release, tmp_path):
    linkage = (release["hospital"] / "linkage.csv").read_text().splitlines()
    shutil.copy(release["hospital"] / "release.json", tmp_path)
    (tmp_path / "linkage.csv").write_text("\n".join(line for line in linkage if not line.endswith(",test")) + "\n")
    with pytest.raises(ValueError, match="no victims"):
        read_scene(**release | {"hospital": tmp_path})


@pytest.mark.parametrize("rule", [None, (0.0, 4095.0)])
def test_the_recipe_comes_back_from_its_document(rule):
    recipe = Recipe("r-1", alpha=0.2, beta=0.3, image_size=(16, 16), intensity_range=rule)
    back = kept_recipe(json.loads(json.dumps(recipe.document("0" * 64, "own", {"images": 3}))))
    assert back == recipe
    assert attacked_pass(back) == (0.2, 0.3)


def test_numbers_agree_between_sections():
    linkage = {
        "1": {"patient": "B", "study": ""},
        "2": {"patient": "A", "study": "s1"},
        "3": {"patient": "A", "study": "s2"},
    }
    labels, patients, studies = numbered([("x", "A", "s2"), ("", "B", "")], ["w", "x"], linkage)
    assert (labels.tolist(), patients.tolist(), studies.tolist()) == ([1, -1], [0, 1], [1, 2])
