"""The outage of a service: who suffers, how far it spreads, whether callers degrade as declared."""

from harness.outage.model import Caller, OutageVerdict, judge_outage, plan_outage
from harness.outage.run import run_outage

__all__ = ["Caller", "OutageVerdict", "judge_outage", "plan_outage", "run_outage"]
