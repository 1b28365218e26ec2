"""The audit's page, as a browser would read it."""

from __future__ import annotations

import re

import pytest

from fesf.scripts.audit import words
from fesf.scripts.audit.nearest import NearestNeighbour
from fesf.scripts.audit.page import charts, context, gain_curves, render
from fesf.scripts.audit.ridge import RidgeInversion
from fesf.scripts.audit.run import audit_document, run_audit
from fesf.scripts.audit.same_image import SameImage
from tests.scripts.test_report import Page

STORE = "ab" * 32
FACTS = {
    "release_id": "<release>", "demo": False, "stage": "surrogate", "alpha": 0.1, "beta": 0.5, "size": (32, 32),
    "images": 80, "patients": 40, "known_images": 120, "known_patients": 60, "seed": 3, "quick": True,
    "left_out": ["unet_inversion"], "commit": "0123abc", "software": {"python": "3.11"},
}  # fmt: skip
ATTACKS = {
    "same_image": SameImage(),
    "ridge_inversion": RidgeInversion(),
    "ridge_inversion_10": RidgeInversion(pairs=10),
    "nearest_neighbour_gallery": NearestNeighbour(),
}


class AuditPage(Page):
    """Also the scopes of heads and the cells of rows."""

    def __init__(self, html: str) -> None:
        self.scopes: list[str | None] = []
        super().__init__(html)

    def handle_starttag(self, tag, attrs):
        super().handle_starttag(tag, attrs)
        if tag == "th":
            self.scopes.append(dict(attrs).get("scope"))


@pytest.fixture(scope="module")
def results(make_scene, tmp_path_factory):
    return run_audit(make_scene(), STORE, ATTACKS, tmp_path_factory.mktemp("audit"))


def page(results, limits=None, pictures=None, **facts):
    document = audit_document(results, limits or {}, STORE, None) | {"limits_sha256": "cd" * 32 if limits else None}
    html = render(context(results, document, FACTS | facts, pictures or {}))
    return html, AuditPage(html)


def test_the_first_screen_names_attackers_controls_and_findings(results):
    html, found = page(results)
    for head in ("Plaintexts (must succeed)", "Broken scheme (must succeed)", "Nothing of the patient (must fail)"):
        assert head in found.text
    assert "in 100 of 100 cases (95 % interval 100 to 100; guessing: 1.2)" in found.text
    assert "Same image: 40 of 40 patients rightly" in found.text
    assert "images of 40 patients. Linked with confidence: 40 of 40" in found.text
    assert "a, d: the store only; true pairs of plaintext and surrogate" in found.text
    ridge = results["ridge_inversion"]["conditions"]["store"]
    assert f"{ridge['value']:.2f} [{ridge['low']:.2f}, {ridge['high']:.2f}]" in found.text
    assert "additive mixing" in found.text
    for risk in ("Singling out", "Linkability", "Inference"):
        assert re.search(rf"{risk}: Can .*?\? Yes: \d of \d attacks that count succeed", found.text)
    assert html.index("The same image") < html.index("<table") < html.index("Findings")


def test_it_is_one_file_for_readers_and_for_machines_that_read(results):
    html, found = page(results)
    assert '<html lang="en">' in html
    assert "<title>Privacy audit of release &lt;release&gt;</title>" in html
    assert "<release>" not in html
    assert None not in found.scopes
    assert set(found.scopes) == {"col", "row", "rowgroup"}
    assert all(found.pictures)
    assert all(source.startswith("data:image/") for source in found.pictures.values())
    assert not re.search(r"(?:src|href)=\"(?!data:)", html)


def test_limits_and_what_is_past_them_show(results):
    limits = {"same_image": {"at_most": 0.05}, "ridge_inversion": {"at_most": 99}}
    _, found = page(results, limits)
    assert "Past 1 of 2 limits: this store is not to be released." in found.text
    assert "same_image is 1, its limit is at most 0.05" in found.text
    assert "cd" * 32 in found.text
    assert "at most 99: held" in found.text
    assert "at most 0.05: past" in found.text
    _, found = page(results, {"ridge_inversion": {"at_most": 99}})
    assert "Within all 1 limits." in found.text
    _, found = page(results)
    assert "No limits were given" in found.text


def test_the_recipe_and_how_hosts_were_chosen_show(results):
    html, _ = page(results)
    assert "how hosts were chosen" not in html
    read = {"named_of_the_average": 1.0, "alpha": 0.1, "alpha_bins_off": 0.0, "hosts": 3.0}
    read |= {f"p_host_says_nothing_of_{group}": 0.25 for group in ("patient", "label", "split")}
    store = results["same_image"]["conditions"]["store"]
    conditions = results["same_image"]["conditions"] | {"store": store | {"details": read}}
    _, found = page(results | {"host_recovery": results["same_image"] | {"conditions": conditions}})
    assert "The recipe, and how hosts were chosen" in found.text
    assert "Host and label No sign that the host goes with it (3 hosts, P = 0.250)." in " ".join(found.text.split())


def test_what_was_not_tried_shows(results):
    failed = {"verdict": "cannot be measured: no studies", "faults": ["no studies"], "conditions": {}}
    changed = results | {"nearest_neighbour_gallery": results["nearest_neighbour_gallery"] | failed}
    changed["nearest_neighbour_gallery"].pop("linked")
    _, found = page(changed)
    assert "Nobody attacked who holds the trained classifier (f)." in found.text
    assert "Nobody attacked who holds a plaintext gallery" in found.text
    assert "Left out by --quick: Unet inversion." in found.text
    assert "Nearest neighbour gallery: cannot be measured: no studies." in found.text
    assert "not measured" in found.text
    assert "Not answered: no attack on it counts." in found.text
    assert "It does not show that none succeeds." in found.text


def test_reconstructions_stand_beside_truth_surrogate_and_mean(results):
    example = {"which": "median", "value": 1.25, "truth": "AAAA", "surrogate": "BBBB", "reconstruction": "CCCC"}
    _, found = page(results, pictures={"ridge_inversion": [example | {"mean": "DDDD"}]})
    shown = {alt: src.rsplit(",", 1)[1] for alt, src in found.pictures.items() if "median" in alt}
    assert shown == {
        "Truth, median image of Ridge inversion": "AAAA",
        "Surrogate, median image of Ridge inversion": "BBBB",
        "Reconstruction, median image of Ridge inversion": "CCCC",
        "Mean, median image of Ridge inversion": "DDDD",
    }
    assert "Median: score 1.25 (PSNR" in found.text
    _, found = page(results, pictures={"ridge_inversion": [example | {"mean": None}]})
    assert "Mean, median image of Ridge inversion" not in found.pictures


def test_gains_are_of_attacks_that_differ_only_in_pairs(results):
    curves = gain_curves(results)
    assert list(curves) == ["Ridge inversion"]
    assert [pairs for pairs, _ in curves["Ridge inversion"]] == [10, 120]
    assert curves["Ridge inversion"][0][1] == results["ridge_inversion_10"]["conditions"]["store"]
    assert set(charts(results)) == {"overview", "gains"}
    curve = {"false": [0, 0.5, 1], "true": [0, 0.75, 1], "auc": 0.625}
    verified = {"same_image": results["same_image"] | {"roc": curve}}
    assert set(charts(verified)) == {"overview", "roc"}
    _, found = page(verified)
    assert "ROC curves of the verifiers on this store" in found.pictures
    assert charts({}) == {}


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.50"), (0.0071, "0.007"), (-0.0001, "0.00"), (0.0, "0.00"), (12.346, "12.35"), (-1, "-1.00")],
)
def test_numbers(value, text):
    assert words.number(value) == text


def test_the_same_image_is_said_in_plain_words_or_that_it_is_not_known(results):
    assert "was not measured" in words.same_image_words(None)
    failed = results["same_image"] | {"faults": ["a control failed"]}
    assert "is not known: a control failed" in words.same_image_words(failed)
    none = {"linked": results["same_image"]["linked"] | {"margin": None}}
    assert words.linked_words(none).startswith("None of 40: no margin over the second candidate")


def test_a_risk_on_which_attacks_failed_is_not_said_to_be_absent():
    assert words.risk_words({"a": {"faults": [], "verdict": "failed"}}).startswith("Not by these: none of 1 attacks")
