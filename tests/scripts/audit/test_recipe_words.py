"""What is said of the recipe."""

from __future__ import annotations

import pytest

from fesf.scripts.audit.recipe_words import recipe_words

READ = {
    "named_of_the_average": 1.0, "hosts": 1.0, "alpha": 0.1, "alpha_bins_off": 0.0, "beta": 0.46,
    "beta_relative_error": 0.08, "beta_by_regression": 0.6, "beta_by_regression_relative_error": 0.2,
    "p_host_says_nothing_of_label": 1.0,
    "p_host_says_nothing_of_patient": 1.0, "p_host_says_nothing_of_split": 1.0,
}  # fmt: skip
FACTS = {"alpha": 0.1, "beta": 0.5, "stage": "synthetic"}


def said(changed=None, stage="synthetic", **others):
    details = READ | (changed or {})
    results = {"host_recovery": {"conditions": {"store": {"details": details}}}} | others
    return recipe_words(results, FACTS | {"stage": stage})


def test_beta_by_both_ways_and_one_host():
    found = said()
    assert found["Host"] == "The store's mean image names the right host."
    assert found["Alpha"] == "Read 0.10, true 0.10: no frequencies off."
    assert found["Beta by the smallest ratio"] == "Read 0.46, true 0.50: 8 % off."
    assert found["Beta by regression"] == "Read 0.60, true 0.50: 20 % off."
    assert found["Host and patient"] == "One host hides all: it was not chosen by this."
    assert len(found) == 7


def test_hosts_that_follow_somebody_are_named():
    found = said({"hosts": 12.0, "p_host_says_nothing_of_patient": 0.001, "p_host_says_nothing_of_label": 0.7})
    assert found["Host and patient"] == "The host goes with it (12 hosts, P = 0.001)."
    assert found["Host and label"] == "No sign that the host goes with it (12 hosts, P = 0.700)."
    assert found["Host and split (known or attacked)"].endswith("(12 hosts, P = 1.000).")


def test_after_a_generator_beta_is_not_read():
    found = said({"named_of_the_average": 0.0, "alpha_bins_off": 3.0}, stage="surrogate")
    assert found["Host"] == "The store's mean image names a wrong host."
    assert found["Alpha"].endswith("3 frequencies off.")
    assert found["Beta"].startswith("Not read: a generator's image")
    assert not [term for term in found if term.startswith("Beta by")]


@pytest.mark.parametrize(("queries", "words"), [(8, "8 images"), (None, "the whole public pool")])
def test_what_the_gateway_gives_away(queries, words):
    answers = {"alpha_bins_off": 0.0, "beta": 0.497, "host_relative_error": 0.0123}
    asked = {"queries": queries, "conditions": {"store": {"details": answers}}}
    found = said(gateway=asked)
    assert found[f"By sending {words} to the gateway"] == (
        "Alpha no frequencies off; the plaintext's share 0.50;"
        " the amplitude of what hides, 1.2 % off the public host's."
    )
    del answers["host_relative_error"]
    misread = said(gateway={"queries": queries, "conditions": {"store": {"details": answers | {"beta": 1.25}}}})
    assert misread[f"By sending {words} to the gateway"] == (
        "Alpha no frequencies off; the plaintext's share 1.25; misread, it leaves nothing for what hides."
    )
    once = {"queries": 1, "conditions": {"store": {"details": {}}}}
    assert len(said(gateway=once)) == 7


def test_where_nobody_tried_nothing_is_said():
    assert recipe_words({}, FACTS) == {}
    assert recipe_words({"host_recovery": {"conditions": {}}}, FACTS) == {}
