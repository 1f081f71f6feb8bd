"""Each way in which the lab can be broken, the experiment that must flag it, and how."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.judge.model import Outcome


@dataclass(frozen=True)
class Case:
    """`mutant` None is the sound lab. `check` is the one that must say it, with `says` in it."""

    mutant: str | None
    experiment: str
    outcome: Outcome
    check: str
    says: str
    parameters: dict[str, object] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Its name among the tests."""
        return f"{self.mutant or 'sound'}-{self.experiment}"


CASES = (
    Case(None, "fail-region", "pass", "fail-back", "Traffic was back"),
    Case("no-failover", "fail-region", "fail", "recovery", "after the injection"),
    Case("no-fail-back", "fail-region", "fail", "fail-back", "had not come back"),
    Case("slow-health-check", "fail-region", "fail", "recovery", "after the injection"),
    Case("garbage", "kill-replica", "fail", "tail after", "of the requests failed"),
    Case("replication-stopped", "lose-region", "fail", "writes", "lost"),
    Case("inert-fault", "partition-regions", "inconclusive", "proof of effect", "no fault in"),
    Case("inert-heal", "pause-replica", "fail", "undone", "did not undo it"),
    Case("median-only", "fail-region", "fail", "tail after", "p99 was"),
    Case("retry-storm", "kill-replica", "fail", "tail after", "of the requests failed"),
)
