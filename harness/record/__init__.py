"""Everything that happened in a run, on disk: written in stages, read back as arrays."""

from harness.record.distribution import Distribution
from harness.record.environment import capture_environment
from harness.record.find import RunSummary, find_run, list_runs
from harness.record.run import SCHEMA, RunRecord
from harness.record.series import Series
from harness.record.writer import RunWriter
from harness.storage import check_writable, make_directory, write_atomic

__all__ = [
    "SCHEMA",
    "Distribution",
    "RunRecord",
    "RunSummary",
    "RunWriter",
    "Series",
    "capture_environment",
    "check_writable",
    "find_run",
    "list_runs",
    "make_directory",
    "write_atomic",
]
