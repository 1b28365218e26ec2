"""The page on privacy: every attack with its controls, what does not count in brackets, gaps by name."""

from __future__ import annotations

from typing import Any

from fesf.scripts.audit.privacy_page import page


def result(value: float, faults: tuple[str, ...] = (), finding: str = "linkability") -> dict[str, Any]:
    def found(middle: float) -> dict[str, float]:
        return {"value": middle, "low": middle - 0.01, "high": middle + 0.01, "chance": 0.02}

    conditions = {"plaintext": 1.0, "broken": 0.9, "permuted": 0.02, "store": value}
    return {
        "letters": ["a", "e"],
        "finding": finding,
        "measure": "rank-1",
        "broken": "additive mixing",
        "verdict": "does not count: because" if faults else "succeeds",
        "faults": list(faults),
        "conditions": {name: found(middle) for name, middle in conditions.items()},
        "seconds": 1.4,
    }


def silent() -> dict[str, Any]:
    why = "cannot be measured: no studies."
    return result(0.0) | {"conditions": {}, "verdict": why, "faults": ["no studies."]}


def audit(alpha: float, **results: dict[str, Any]) -> dict[str, Any]:
    release = {"alpha": alpha, "beta": 0.5, "hosts": 48, "size": [64, 64], "commit": "0123456789", "machine": "M"}
    return release | {
        "known": {"images": 30, "patients": 10},
        "victims": {"images": 12, "patients": 4},
        "results": results,
    }


DOCUMENT: dict[str, Any] = {
    "command": "python -m x",
    "commit": "abc",
    "machine": {"processor": "P", "cores": 2, "memory_gib": 16},
    "software": {"numpy": "2"},
    "sets": {
        "demo": {
            "ihm": audit(0.1, same=result(0.5, finding="singling out"), nearest=result(0.7), attribute=silent()),
            "full": audit(0.25, same=result(0.6, ("why",), "singling out"), nearest=result(0.75), attribute=silent()),
        }
    },
}


def test_each_attack_stands_beside_its_controls() -> None:
    text = page(DOCUMENT)
    row = "| nearest | 0.02 | 1.00 [0.99, 1.01] | 0.90 [0.89, 0.91] | 0.02 [0.01, 0.03]"
    assert f"{row} | 0.70 [0.69, 0.71] | 0.75 [0.74, 0.76] | 3 |" in text
    assert "| 0.50 [0.49, 0.51] | (0.60 [0.59, 0.61]) | 3 |" in text
    assert "- same (full method): does not count: because" in text
    assert "- attribute: cannot be measured: no studies." in text
    assert "| nearest | a, e | linkability | rank-1 | additive mixing |" in text
    assert text.index("| same | a, e | singling out") < text.index("| nearest | a, e | linkability")
    assert "30 images of 10 patients known to an attacker with true pairs, 12 images of 4 patients attacked" in text
    assert "hidden once, alpha 0.1, beta 0.5, full method, alpha 0.25, beta 0.5." in text
    assert "- (e') the victim's same image" in text
    assert "Attacks were run at commits 0123456 on M." in text


def test_a_set_without_gaps_says_nothing_of_them() -> None:
    whole = {"demo": {"ihm": audit(0.1, nearest=result(0.7))}}
    text = page(DOCUMENT | {"sets": whole})
    assert "does not say" not in text
    assert "does not count (" not in text


def test_an_attack_that_one_arm_lacks_leaves_a_gap() -> None:
    arms = {"ihm": audit(0.1, nearest=result(0.7)), "full": audit(0.1)}
    arms["full"]["results"]["nearest"] = silent()
    row = next(
        line for line in page(DOCUMENT | {"sets": {"demo": arms}}).splitlines() if line.startswith("| nearest | 0")
    )
    assert row.endswith("| 0.70 [0.69, 0.71] |  | 3 |")
    arms["ihm"]["results"]["other"] = arms["full"]["results"]["other"] = silent()
    text = page(DOCUMENT | {"sets": {"demo": arms}})
    assert "- nearest (full method), other: cannot be measured: no studies." in text


def test_what_holds_for_one_reason_is_one_line() -> None:
    faulty = result(0.6, ("why",))
    arms = {"ihm": audit(0.1, first=faulty, second=faulty), "full": audit(0.1, first=result(0.7), second=faulty)}
    text = page(DOCUMENT | {"sets": {"demo": arms}})
    line = "- first (hidden once), second (hidden once), second (full method): does not count: because"
    assert text.count("does not count: because") == 1
    assert line in text
