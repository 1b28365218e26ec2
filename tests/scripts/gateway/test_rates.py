from __future__ import annotations

from fesf.scripts.gateway.rates import Rates


def test_a_peer_has_its_rate_and_others_theirs() -> None:
    rates = Rates(3, 60.0)
    assert [rates.admit("a", 600.0) for _ in range(5)] == [True] * 3 + [False] * 2
    assert rates.admit("b", 600.0)
    assert not rates.admit("a", 659.9)


def test_the_last_spans_share_fades() -> None:
    rates = Rates(4, 60.0)
    for _ in range(4):
        assert rates.admit("a", 600.0)
    assert not rates.admit("a", 660.0)
    assert [rates.admit("a", 690.0) for _ in range(3)] == [True, True, False]
    assert [rates.admit("a", 900.0) for _ in range(5)] == [True] * 4 + [False]


def test_over_no_two_spans_is_more_than_twice_the_rate_taken() -> None:
    rates = Rates(10, 60.0)
    taken = [moment / 10 for moment in range(6000) if rates.admit("a", moment / 10)]
    for start in range(0, 540, 10):
        assert sum(start <= moment < start + 60 for moment in taken) <= 15
    assert len(taken) > 50


def test_peers_that_no_longer_call_are_forgotten() -> None:
    rates = Rates(3, 60.0)
    for number in range(10_001):
        rates.admit(str(number), 0.0)
    rates.admit("new", 600.0)
    assert len(rates._seen) == 1
