"""What shows at one of the quantiles that are reported, and at no other, is found there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.judge import connections, validity
from harness.judge.wording import describe_stalls
from harness.stats.shares import Stall


def _record(kind: str, at: float) -> Any:
    """The generator's part of the response is small, but for one quantile."""

    def distribution(name: str) -> Any:
        values = {at: 0.05} if name == kind else {0.5: 0.1, 0.95: 0.2, 0.99: 0.3}
        return SimpleNamespace(count=1000, quantile=lambda q: values.get(q, 1e-4))

    return SimpleNamespace(distribution=distribution, labels=())


@pytest.mark.parametrize("at", [0.5, 0.95, 0.99])
def test_a_lag_is_too_much_at_any_quantile_that_is_reported(at: float) -> None:
    found = validity._lag(_record("lag", at))
    assert found.ok is False
    assert found.measured.startswith(f"p{at * 100:g} lag 50.0 ms")


@pytest.mark.parametrize("at", [0.5, 0.95, 0.99])
def test_a_wait_for_a_connection_is_found_at_any_quantile_that_is_reported(at: float) -> None:
    worst = connections._worst_wait(_record("wait", at))
    assert worst is not None
    assert worst[:2] == (at, 0.05)


@pytest.mark.parametrize(("number", "told"), [(3, "2, 12, 22 ("), (4, "2, 12, 22, … (")])
def test_of_several_stalls_the_first_three_are_named(number: int, told: str) -> None:
    stalls = tuple(Stall(n * 10 + 2, n * 10 + 3, 5) for n in range(number))
    seconds: Any = SimpleNamespace(offered=np.full(60, 10), seconds=range(60))
    assert f"{number} stalls at seconds {told}" in describe_stalls(stalls, seconds)
