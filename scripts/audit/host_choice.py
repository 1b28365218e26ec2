"""Is the host chosen independently of patient, label and split?

With one fixed host a release it is: there is nothing to choose. The test is for releases with several hosts.
"""

from __future__ import annotations

import numpy as np

from fesf.scripts.audit.scene import Integers

DRAWS = 999


def chi_square(hosts: Integers, groups: Integers) -> float:
    """Pearson's statistic of the table of hosts and groups, both numbered from 0."""
    cells = hosts * (groups.max() + 1) + groups
    # sum of n_ij^2 / (n_i n_j) over the cells, each cell's share taken once for each of its images
    shares = np.bincount(cells)[cells] / (np.bincount(hosts)[hosts] * np.bincount(groups)[groups])
    return float(len(hosts) * (shares.sum() - 1))


def dependence(hosts: Integers, groups: Integers, seed: int = 0, draws: int = DRAWS) -> float:
    """P value of the hypothesis that the host says nothing of the group, by permuting hosts; 1 for one host.

    Args:
        hosts: which host hid each image, (N,).
        groups: its patient, label or split, (N,).
        seed: of the permutations.
        draws: how many.
    """
    rng = np.random.default_rng(seed)
    hosts, groups = (np.unique(numbers, return_inverse=True)[1] for numbers in (hosts, groups))
    if not hosts.any():
        return 1.0
    found = chi_square(hosts, groups)
    as_large = sum(chi_square(rng.permutation(hosts), groups) >= found - 1e-9 for _ in range(draws))
    return (1 + as_large) / (1 + draws)
