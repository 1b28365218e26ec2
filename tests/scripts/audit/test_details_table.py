"""Patients linked, members named and diagnoses read: what stands in the second table of a set."""

from __future__ import annotations

from typing import Any

from fesf.scripts.audit.details_table import details_table
from tests.scripts.audit.test_privacy_page import audit, result, silent


def detailed(**details: float) -> dict[str, Any]:
    found = result(0.7)
    found["conditions"]["store"]["details"] = details
    return found


def test_a_row_a_finding_and_a_column_a_store() -> None:
    linked = result(0.7) | {"linked": {"right": 8, "wrong": 2, "patients": 48, "claimed": 10}}
    inversion = detailed(gain_over_adjusted_mean=3.456, auc_reconstruction=0.72, auc_plaintext=0.76, auc_surrogate=0.64)
    members = detailed(tpr_at_0_false=0.2, tpr_at_0_false_low=0.13, tpr_at_0_false_high=0.29, members=108.0)
    once = audit(0.1, nearest=linked, ridge=inversion, membership=members, plain=result(0.5))
    full = audit(0.1, nearest=silent(), ridge=inversion, membership=silent(), plain=result(0.5))
    assert details_table({"ihm": once, "full": full}).splitlines()[2:] == [
        "| patients linked with confidence | nearest | 8 of 48 rightly, 2 wrongly |  |",
        "| members named without a false one (share) | membership | 0.20 [0.13, 0.29] of 108 |  |",
        "| gain over the mean image with the victim's own mean and deviation, dB | ridge | 3.46 | 3.46 |",
        "| diagnosis read from the reconstruction by a classifier of plaintexts (AUC) | ridge |"
        " 0.72 (plaintexts 0.76, surrogates 0.64) | 0.72 (plaintexts 0.76, surrogates 0.64) |",
    ]


def test_nothing_where_no_attack_has_any() -> None:
    assert details_table({"ihm": audit(0.1, nearest=result(0.7))}) == ""
