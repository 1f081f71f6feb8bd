"""The supervisor's noisy neighbours: processes that burn beside the replicas, by their fault."""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Sequence

from harness.platform.lab.messages import Burners

_BURNER = "harness.platform.lab.burner"


class Pressure:
    """Burners by fault id; each ends by itself after its time, and with the lab."""

    def __init__(self) -> None:
        self._burners: dict[str, list[asyncio.subprocess.Process]] = {}
        self._cores: dict[str, int] = {}

    async def press(
        self, fault: str, workers: int, megabytes: int, for_s: float, cpus: Sequence[int]
    ) -> None:
        """Start burners on the given cores (none: wherever the system puts them)."""
        plan = json.dumps({"megabytes": megabytes, "for_s": for_s})
        kept = self._burners.setdefault(fault, [])
        self._cores[fault] = len(cpus) or os.cpu_count() or 1
        for _ in range(workers - len(self.of(fault))):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", _BURNER, plan, stdin=asyncio.subprocess.PIPE
            )
            kept.append(process)
            if cpus and sys.platform == "linux":
                with contextlib.suppress(OSError):
                    os.sched_setaffinity(process.pid, cpus)

    async def release(self, fault: str) -> None:
        """End the burners of a fault and wait for it; idempotent."""
        for process in self._burners.get(fault, []):
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        for process in self._burners.pop(fault, []):
            await process.wait()

    def of(self, fault: str) -> list[int]:
        """The pids of a fault's burners that run."""
        return [each.pid for each in self._burners.get(fault, []) if each.returncode is None]

    def document(self) -> dict[str, Burners]:
        """Those that run, by fault id."""
        return {
            fault: {"pids": pids, "taken_s": sum(map(_cpu_s, pids)) / self._cores[fault]}
            for fault in self._burners
            if (pids := self.of(fault))
        }


def _cpu_s(pid: int) -> float:
    """The processor time of a process, by its pid in this namespace (clock_getcpuclockid(3))."""
    with contextlib.suppress(OSError):
        return time.clock_gettime((~pid << 3) | 2)
    return 0.0
