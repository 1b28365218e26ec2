"""Whether the host is chosen independently is tested, not assumed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from fesf.scripts.audit.host_choice import chi_square, dependence


def test_the_statistic_is_pearsons():
    rng = np.random.default_rng(0)
    hosts, groups = rng.integers(4, size=90), rng.integers(3, size=90)
    table = np.zeros((4, 3))
    np.add.at(table, (hosts, groups), 1)
    assert chi_square(hosts, groups) == pytest.approx(chi2_contingency(table).statistic)


def test_one_host_depends_on_nothing():
    assert dependence(np.full(20, 7), np.arange(20)) == 1.0


def test_a_host_by_patient_or_label_is_seen():
    rng = np.random.default_rng(1)
    patients = np.repeat(np.arange(30), 3) + 1000
    by_patient = np.repeat(rng.integers(8, size=30), 3)
    assert dependence(by_patient, patients) < 0.01
    labels = np.arange(90) % 2 - 1
    assert dependence(np.where(labels == 0, 5, rng.integers(4, 6, size=90)), labels) < 0.01
    assert dependence(by_patient, labels) > 0.05


def test_independent_hosts_give_p_values_without_a_preference():
    found = [
        dependence(np.random.default_rng(seed).integers(5, size=60), np.arange(60) // 2, seed, draws=99)
        for seed in range(60)
    ]
    assert np.mean(found) == pytest.approx(0.5, abs=0.15)
    assert np.mean(np.array(found) <= 0.1) < 0.25
