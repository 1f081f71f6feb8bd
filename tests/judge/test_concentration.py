"""Where the bad requests of a run are: at one address, or at one value of a feed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.judge import judge
from harness.judge.concentration import concentrations, most_likely
from tests.record.synthetic import Made, histogram, record


def address(name: str, completed: int = 1000, failed: int = 0, slow: int = 0) -> dict[str, Any]:
    times = [0.01] * (completed - slow) + [0.5] * slow
    return {
        "type": "address", "worker": 0, "address": name, "completed": completed, "failed": failed,
        "response": histogram(times),
    }  # fmt: skip


def value(text: str, failed: int, of: int, feed: str = "id") -> dict[str, Any]:
    return {
        "type": "failing_value", "worker": 0, "feed": feed, "value": text, "failed": failed,
        "of": of,
    }  # fmt: skip


def said(root: Path, *messages: dict[str, Any]) -> tuple[str, ...]:
    return concentrations(record(root, Made(messages=messages)))


def test_the_address_that_fails_is_named(tmp_path: Path) -> None:
    found = said(tmp_path, address("a:1", 800, failed=200), address("b:1"), address("c:1"))
    assert found == (
        "All 200 failed requests went to a:1, one of 3 addresses with 33.33 % of the requests.",
    )


def test_the_address_that_is_slow_is_named_by_the_limit_of_the_objective(tmp_path: Path) -> None:
    (found,) = said(tmp_path, address("a:1", slow=300), address("b:1", slow=10))
    assert found.startswith("96.77 % of 310 requests beyond 100 ms went to a:1, one of 2")


@pytest.mark.parametrize(
    "messages",
    [
        [address("a:1", failed=100), address("b:1", failed=20)],  # both
        [address("a:1", failed=19), address("b:1")],  # too few
        [address("a:1", failed=200)],  # one address only
        [address("a:1", 2000, failed=200), address("b:1", 1000)],  # it has most requests anyhow
        [address("a:1"), address("b:1")],
        [],
    ],
)
def test_what_is_not_concentrated_is_not_said_to_be(
    tmp_path: Path, messages: list[dict[str, Any]]
) -> None:
    assert said(tmp_path, *messages) == ()


def test_the_record_that_fails_is_named(tmp_path: Path) -> None:
    lost = address("a:1", failed=50)
    assert said(tmp_path, lost, value("7", 48, 50), value("9", 2, 50)) == (
        "96.00 % of 50 failed requests had id = 7.",
    )
    few = (value("7", 44, 50), value("9", 6, 50))
    other_requests = (value("7", 44, 44),)
    assert said(tmp_path / "few", lost, *few) == ()
    assert said(tmp_path / "other", lost, *other_requests) == ()


def test_a_value_that_most_requests_have_explains_nothing(tmp_path: Path) -> None:
    lost = address("a:1", failed=50)
    assert said(tmp_path, lost, value("hunter2", 50, 50, feed="token")) == ()
    assert most_likely({"kind": "zipf", "n": 1000, "s": 1.1}) == pytest.approx(0.1756, abs=0.01)
    assert most_likely({"kind": "uniform", "low": 1, "high": 4}) == 0.25
    assert most_likely({"kind": "uuid"}) == 0
    assert most_likely({"kind": "choice", "values": ["a", "b"]}) == 1


def test_the_cause_is_the_first_reason_of_a_failed_verdict_and_none_of_a_pass(
    tmp_path: Path,
) -> None:
    messages = (address("a:1", 600, failed=400), address("b:1"))
    failing = Made(failures=lambda _, __, offered: {"status_5xx": offered // 10}, messages=messages)
    assert judge(record(tmp_path, failing)).reasons[0].startswith("All 400 failed requests went")
    assert not any("went to" in r for r in judge(record(tmp_path, Made(messages=messages))).reasons)


def test_two_equal_addresses_are_told_apart_by_chance_less_than_once_in_a_thousand_runs() -> None:
    random = np.random.default_rng(1)
    first = random.binomial(20, 0.5, 100_000)
    assert np.mean(np.maximum(first, 20 - first) >= 0.9 * 20) < 1e-3
