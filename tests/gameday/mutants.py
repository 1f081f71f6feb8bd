"""Each way in which the lab can be broken, the experiment that must flag it, and how."""

from __future__ import annotations

from dataclasses import dataclass

from harness.gameday.steady import TIMEOUT_S
from harness.judge.model import Outcome


@dataclass(frozen=True)
class Case:
    """`mutant` None is the sound lab. `check` is the one that must say it, with `says` in it.

    `silent`: the method has an action that fails without a word. `rate` in requests/s, for
    `after_s` seconds after the heal: what a small loss takes to show. `timed`: the check judges
    times of the load, so that nothing else may run beside it. `steady_s`: how long the steady state
    is waited for afterwards; where it never comes back, that is all waiting.
    """

    mutant: str | None
    experiment: str
    outcome: Outcome
    check: str
    says: str
    silent: bool = False
    rate: float | None = None
    after_s: float | None = None
    timed: bool = True
    steady_s: float = TIMEOUT_S

    @property
    def name(self) -> str:
        """What the document calls it."""
        return self.mutant or ("a silent action" if self.silent else "none (sound)")

    @property
    def id(self) -> str:
        """Its name among the tests."""
        return f"{'silent' if self.silent else self.mutant or 'sound'}-{self.experiment}"


CASES = (
    Case(None, "fail-region", "pass", "fail-back", "Traffic was back"),
    Case("no-failover", "fail-region", "fail", "fail-back", "never went to another", timed=False),
    Case(
        "no-fail-back", "fail-region", "fail", "fail-back", "had not come back", steady_s=5.0,
    ),
    Case("slow-health-check", "fail-region", "fail", "recovery", "after the injection"),
    Case("garbage", "kill-replica", "fail", "tail after", "of the requests failed", timed=False),
    Case("replication-stopped", "lose-region", "fail", "writes", "lost", timed=False),
    Case(
        "inert-fault", "partition-regions", "inconclusive", "proof of effect", "no fault in",
        timed=False,
    ),
    Case("inert-heal", "pause-replica", "fail", "undone", "did not undo it", timed=False),
    Case("median-only", "fail-region", "fail", "tail after", "p99 was"),
    Case("retry-storm", "kill-replica", "fail", "tail after", "of the requests failed"),
)  # fmt: skip

PROVEN = (
    Case(None, "kill-replica", "inconclusive", "activities", "exit code 1", silent=True),
    Case("relapse", "pause-replica", "fail", "undone", "was in effect again"),
    Case("lossy", "kill-replica", "fail", "tail after", "requests failed", rate=400, after_s=110),
)
"""The same for `make proofs`: CI judges made-up records of these kinds (test_verdict_mutants)."""
