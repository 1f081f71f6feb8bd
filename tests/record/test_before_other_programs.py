"""What is measured, and what measures, runs before the machine's other programs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.process import PREFERRED, prefer

READ = "import os; input(); print(os.getpriority(os.PRIO_PROCESS, 0), flush=True)"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {READ!r}])"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may prefer a process")
def test_a_session_that_is_preferred_is_so_with_all_that_it_starts() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    ) as child:  # fmt: skip
        prefer(child.pid)
        group = Path(f"/proc/{child.pid}/autogroup")
        of_session = group.read_text(encoding="ascii").split() if group.exists() else None
        told, _ = child.communicate("\n", timeout=60)
    assert told.strip() == str(PREFERRED)
    assert of_session is None or of_session[-1] == str(PREFERRED)


def test_a_process_that_is_gone_or_not_ours_to_prefer_is_left_as_it_is() -> None:
    prefer((1 << 22) + 1)
