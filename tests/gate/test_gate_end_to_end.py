"""The gate on real load: unchanged passes, a slowed endpoint is found, a doubt is priced."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.alone]

BEHAVIOUR = {"latency_median_s": 0.05, "latency_p99_s": 0.1}
"""The service waits for whole milliseconds: 2 % of it are one."""

ROUTE = "/api/memory/recall"
BASELINE_RUNS = 6


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a baseline of its own, made here and now."""
    path = tmp_path_factory.mktemp("gate")
    done = _harness("baseline", "make", "memorai", *_words(path), "--runs", str(BASELINE_RUNS))
    assert done.returncode == 0, done.stderr
    return path


def _words(path: Path, slow: float = 0.0) -> list[str]:
    behaviour: dict[str, Any] = dict(BEHAVIOUR)
    if slow:
        behaviour["slow"] = {ROUTE: {"factor": 1 + slow}}
    return [
        *("--profile", "constant", "--rate", "600", "--duration", "12s"),
        *("--behaviour", json.dumps(behaviour)),
        *("--baselines", str(path / "baselines"), "--results", str(path / "results")),
    ]


def _harness(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", *words],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def _gate(path: Path, slow: float, *words: str) -> tuple[int, dict[str, Any]]:
    done = _harness("gate", "memorai", *_words(path, slow), "--json", *words)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_an_unchanged_service_raises_no_alarm(place: Path) -> None:
    code, verdict = _gate(place, 0.0, "--seed", "100")
    assert verdict["outcome"] != "fail", verdict["reasons"]
    assert code in {0, 3}
    assert (place / "results" / "memorai" / "gate" / "gate.svg").is_file()


def test_ten_percent_on_one_endpoint_is_claimed_and_named(place: Path) -> None:
    code, verdict = _gate(place, 0.10, "--seed", "200")
    assert (code, verdict["outcome"]) == (1, "fail"), verdict["reasons"]
    claimed = {row["endpoint"] for row in verdict["rows"] if row["outcome"] == "regression"}
    assert "recall" in claimed
    assert not claimed & {"remember", "context", "stats"}


def test_a_shift_at_the_margin_is_a_doubt_with_a_price_or_one_that_nobody_would_pay(
    place: Path,
) -> None:
    """One endpoint slower by 2 %: the P95 of all requests by 1 %."""
    code, verdict = _gate(place, 0.02, "--seed", "300", "--margin", "1%")
    assert (code, verdict["outcome"]) == (3, "inconclusive"), verdict["reasons"]
    if verdict["runs_needed"] is None:  # a shift at the margin takes more runs than are sensible
        assert verdict["minutes_needed"] is None
    else:
        assert verdict["runs_needed"] + verdict["baseline_runs_needed"] >= 1
        assert verdict["minutes_needed"] > 0
