from __future__ import annotations

import numpy as np
import pytest
import torch

from fesf.scripts.federated.averaging import largest_difference, moved, to_arrays, to_state, weighted_mean


def test_the_mean_of_two_by_hand() -> None:
    one = {"w": np.array([1.0, 2.0], np.float32), "n": np.array(4)}
    other = {"w": np.array([5.0, -2.0], np.float32), "n": np.array(8)}
    mean = weighted_mean([one, other], [3, 1])
    assert mean["w"].tolist() == [2.0, 1.0]
    assert mean["w"].dtype == np.float32
    assert float(mean["n"]) == 5.0


def test_the_mean_of_many_is_numpy_s_average() -> None:
    rng = np.random.default_rng(0)
    updates = [{"a": rng.normal(size=(3, 4)), "b": rng.normal(size=5).astype(np.float32)} for _ in range(4)]
    weights = [7, 1, 2, 40]
    found = weighted_mean(updates, weights)
    for name in ("a", "b"):
        expected = np.average([update[name].astype(np.float64) for update in updates], axis=0, weights=weights)
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=1e-6)
    start = {"a": np.ones((3, 4)), "b": np.ones(5, np.float32)}
    np.testing.assert_allclose(moved(start, found)["a"], 1 + found["a"])


def test_what_is_no_mean_is_refused() -> None:
    one, other = {"w": np.ones(2)}, {"w": np.ones(3)}
    with pytest.raises(ValueError, match="0 updates and 0 weights"):
        weighted_mean([], [])
    with pytest.raises(ValueError, match="1 updates and 2 weights"):
        weighted_mean([one], [1, 2])
    with pytest.raises(ValueError, match=r"weights=\[1, 0\] must be positive"):
        weighted_mean([one, one], [1, 0])
    for wrong in (other, {"v": np.ones(2)}):
        with pytest.raises(ValueError, match="must be of one network"):
            weighted_mean([one, wrong], [1, 1])


def test_a_state_comes_back_with_its_types() -> None:
    state = torch.nn.BatchNorm1d(2).state_dict()
    arrays = to_arrays(state)
    assert largest_difference(to_state(arrays, state), state) == 0
    arrays["num_batches_tracked"] = np.array(2.75)
    arrays["weight"] = np.array([1.0, 1.5])
    back = to_state(arrays, state)
    assert back["num_batches_tracked"].item() == 3
    assert back["num_batches_tracked"].dtype == torch.int64
    assert back["weight"].dtype == torch.float32
    assert largest_difference(back, state) == 3
    assert largest_difference(back, state, counters=False) == 0.5
    with pytest.raises(ValueError, match="not of one network"):
        largest_difference(state, {"weight": torch.ones(2)})


def test_arrays_are_copies() -> None:
    state = {"w": torch.zeros(1)}
    arrays = to_arrays(state)
    state["w"] += 1
    assert arrays["w"].tolist() == [0]
