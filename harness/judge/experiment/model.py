"""What is said of an experiment: its checks and its verdict."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from harness.judge.effect import Effect
from harness.judge.experiment.loss import AfterRecovery
from harness.judge.failover import Backlog, Milestones, Stages
from harness.judge.lost_writes import LostWrites
from harness.judge.model import RunVerdict, ValidityCheck
from harness.stats.recovery import Recovery

Word = Literal["pass", "fail", "inconclusive"]
Made = tuple[Word | Literal["noisy"] | None, str, str, str]
"""Outcome, measured, limit, statement. `noisy`: it failed, unless this machine itself was late."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing judged; `outcome` None: it was not asked for, or there was nothing to judge.

    `noisy`: it is in doubt only since this machine itself was late.
    """

    name: str
    outcome: Word | None
    measured: str
    limit: str
    statement: str
    noisy: bool = False


@dataclass(frozen=True, slots=True)
class ExperimentVerdict(RunVerdict):
    """The answer to one experiment.

    `healed` False: something of the fault may still be there, and a game day must stop.
    """

    experiment: str
    checks: tuple[Check, ...]
    validity: tuple[ValidityCheck, ...]
    stages: Stages | None
    milestones: Milestones | None
    recovery: Recovery | None
    effect: Effect | None
    backlog: Backlog | None
    writes: LostWrites | None
    lacking: Mapping[str, int]
    budget_spent: float | None
    error_ratio: float | None
    healed: bool
    after: AfterRecovery | None = None
    """What was asked after the recovery; a game day judges it over all of its experiments."""

    @property
    def spoilt(self) -> str | None:
        """Why its figures are not the service's: this machine, not it, decided; else None."""
        if self.outcome == "invalid":
            return self.reasons[0]
        noisy = (check.statement for check in self.checks if check.noisy)
        return next(noisy, None) if self.outcome == "inconclusive" else None

    @property
    def again(self) -> str | None:
        """Why it should be measured again; None: it should not.

        The machine left nothing else in doubt, or nothing was injected: no price was paid yet.
        """
        if self.outcome == "inconclusive" and self.stages is None:
            return self.reasons[0]
        noisy = (check.noisy for check in self.checks if check.outcome == "inconclusive")
        return self.spoilt if self.outcome == "invalid" or all(noisy) else None
