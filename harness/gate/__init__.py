"""The regression gate: candidate runs against accepted ones."""

from harness.gate.compare import compare_interleaved, compare_runs
from harness.gate.model import GateVerdict, Policy, Row

__all__ = ["GateVerdict", "Policy", "Row", "compare_interleaved", "compare_runs"]
