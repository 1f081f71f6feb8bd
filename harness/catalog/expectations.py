"""What an experiment file expects of a service under a fault, which is what is judged."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Expectations:
    """What is judged; None: not judged (and said so).

    `recovery_s`: from the injection until 9 of 10 seconds are within the band of before.
    `recovery_from`: from the injection (failover) or from the heal (faults without redundancy).
    `error_budget`: the share of the 30-day budget that may be spent. `lost_writes`: how many
    acknowledged writes may be lost, None where losing is not judged; `rpo_s` how old, at the
    injection, the oldest lost one may be. `fail_back_s`: from the heal
    until traffic is where it was. `impact`: whether the fault must be felt by the users (a fault
    that redundancy hides need not be).
    """

    recovery_s: float | None = None
    recovery_from: Literal["inject", "heal"] = "inject"
    error_budget: float | None = None
    error_ratio: float | None = None
    lost_writes: int | None = None
    rpo_s: float | None = None
    fail_back_s: float | None = None
    impact: bool = False
