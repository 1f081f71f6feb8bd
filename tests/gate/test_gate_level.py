"""False alarms and power of the whole gate, a small version of `python -m benchmarks.gate`."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.gate.__main__ import STRICT_NO_MORE, USUAL, outcomes
from harness.baseline import TOTAL
from tests.sequential import exceeds


@pytest.mark.parametrize(
    ("shape", "new"), [("normal", 3), ("lognormal", 2), ("bimodal", 3), ("outliers", 2)]
)
def test_false_alarms_of_unchanged_software_stay_at_the_level_of_the_whole_gate(
    shape: str, new: int
) -> None:
    random = np.random.default_rng(3)
    for alarm in ("fail", "suspected"):
        gates = (outcomes(random, 1, shape, 6, new, STRICT_NO_MORE) for _ in range(1000))
        assert not exceeds((alarm in found for found in gates), 0.05, 0.20, miss=0.2)


def test_one_run_never_fails_and_everything_a_half_slower_is_found() -> None:
    random = np.random.default_rng(4)
    slow = {TOTAL: 1.5}
    one = outcomes(random, 10, "normal", 10, 1, USUAL, slow)
    assert one == {"suspected": 10}
    assert outcomes(random, 10, "normal", 10, 3, USUAL, slow)["fail"] == 10
