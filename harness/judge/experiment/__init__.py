"""The verdict on an experiment: is it proven, did the service fail over, what did it cost?

The order is the order of trust: a measurement that cannot be believed is invalid; a fault that
was not seen to begin and to end proves nothing (inconclusive); then each expectation is judged.
"""

from harness.judge.experiment.model import Check, ExperimentVerdict
from harness.judge.experiment.verdict import judge_experiment, write_experiment

__all__ = ["Check", "ExperimentVerdict", "judge_experiment", "write_experiment"]
