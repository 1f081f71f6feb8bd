"""Everything that happened in a run, on disk: written in stages, read back as arrays."""

from harness.record.find import find_run, list_runs
from harness.record.run import RunRecord
from harness.record.writer import RunWriter

__all__ = ["RunRecord", "RunWriter", "find_run", "list_runs"]
