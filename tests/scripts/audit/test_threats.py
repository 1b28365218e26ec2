"""Threat models by letters."""

from __future__ import annotations

import pytest

from fesf.scripts.audit.amplitude import AmplitudeRecovery
from fesf.scripts.audit.controls import BROKEN
from fesf.scripts.audit.nearest import NearestNeighbour
from fesf.scripts.audit.onlooker import Onlooker
from fesf.scripts.audit.ridge import RidgeInversion
from fesf.scripts.audit.same_image import SameImage
from fesf.scripts.audit.threats import FINDINGS, describe


@pytest.mark.parametrize("attack", [AmplitudeRecovery, NearestNeighbour, Onlooker, RidgeInversion, SameImage])
def test_every_attack_says_who_attacks_and_how_it_is_checked(attack):
    assert describe(attack.letters)
    assert attack.finding in FINDINGS
    assert attack.broken in BROKEN
    assert attack.margin > 0
    assert attack.permutations >= 1


@pytest.mark.parametrize("letters", [(), ("a", "z")])
def test_unknown_letters_are_refused(letters):
    with pytest.raises(ValueError, match="name one or more of a, b, c, d, e, e', f, g, h"):
        describe(letters)
