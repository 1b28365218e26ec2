from __future__ import annotations

from collections import Counter

import pytest

from fesf.scripts.federated.partition import divide


def strata(**counts: int) -> dict[str, str]:
    return {f"{name}{number}": name for name, count in counts.items() for number in range(count)}


@pytest.mark.parametrize("share", [0.5, 0.3, 0.8])
def test_each_hospital_gets_its_share_of_every_stratum(share: float) -> None:
    patients = strata(a=40, b=11, c=7, d=2)
    side = divide(patients, share, seed=1)
    assert set(side) == set(patients)
    assert abs(sum(number == 0 for number in side.values()) - share * len(patients)) < 1
    for name, count in Counter(patients.values()).items():
        first = sum(side[patient] == 0 for patient, stratum in patients.items() if stratum == name)
        assert abs(first - share * count) < 1, name


def test_two_of_a_stratum_are_parted() -> None:
    side = divide(strata(a=2, b=2, c=2), 0.5)
    assert all(side[f"{name}0"] != side[f"{name}1"] for name in "abc")


def test_the_draw_follows_the_seed_and_not_the_order_of_the_rows() -> None:
    patients = strata(a=20, b=20)
    backwards = dict(reversed(patients.items()))
    assert divide(patients, seed=4) == divide(backwards, seed=4)
    assert divide(patients, seed=4) != divide(patients, seed=5)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1])
def test_a_share_is_between_nothing_and_all(share: float) -> None:
    with pytest.raises(ValueError, match=f"share={share} must lie between 0 and 1"):
        divide(strata(a=4), share)


def test_nobody_is_left_without_patients() -> None:
    with pytest.raises(ValueError, match=r"2 patients at share=0\.9 leave a hospital without any"):
        divide(strata(a=2), 0.9)
