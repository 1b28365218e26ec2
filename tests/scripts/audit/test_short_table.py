"""The strongest attacks of all stores in one table: what succeeded, what does not count, what was not measured."""

from __future__ import annotations

from fesf.scripts.audit.short_table import SHORT, short_table
from fesf.scripts.audit.suite import FULL, QUICK
from tests.scripts.audit.test_privacy_page import audit, result, silent


def test_a_row_a_question_and_a_column_a_store() -> None:
    weak, failed = result(0.6, ("why",)), result(0.8) | {"verdict": "fails"}
    one = {
        "full": audit(0.1, same_image=weak, membership=silent()),
        "ihm": audit(0.1, same_image=result(1.0), membership=result(0.9)),
    }
    other = {"ihm": audit(0.1, same_image=failed, membership=silent(), other=result(0.3))}
    assert short_table({"demo": one, "mri": other}).splitlines() == [
        "|  | attack | attacker holds | chance | demo, hidden once | demo, full method | mri, hidden once |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| Is this very image in the store? (rank-1) | same_image | a, e | 0.02 | **1.00 [0.99, 1.01]** |"
        " (0.60 [0.59, 0.61]) | 0.80 [0.79, 0.81] |",
        "| Did this patient train the classifier? (AUC) | membership | a, e | 0.02 | **0.90 [0.89, 0.91]** |"
        " not measured | not measured |",
    ]


def test_every_question_has_an_attack_of_the_audit() -> None:
    assert set(SHORT) <= set(QUICK | FULL)
