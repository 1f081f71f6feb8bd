"""What a process of Chaos Toolkit needs for its probes is there before it says that it is ready."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from harness.catalog.model import Service
from harness.chaos.context import Context
from harness.chaos.processes import VARIABLE
from harness.platform.kubernetes.platform import Kubernetes, Where

CHILD = """
import pathlib, sys
from harness.chaos import toolkit_runner
platform = "harness.platform.kubernetes.platform"
toolkit_runner.take_over_stdout = lambda: None
toolkit_runner.send = lambda event: print(event["what"], platform in sys.modules)
sys.exit(toolkit_runner.main(pathlib.Path(sys.argv[1]), pathlib.Path("none"), 1.0, 1.0))
"""


def test_the_platform_is_imported_before_the_first_probes_time_begins(
    tmp_path: Path, service: Service
) -> None:
    """On a busy machine its imports alone may take as long as a probe may."""
    handle = Kubernetes(Where("codai-staging")).handle()
    Context(handle, service, str(tmp_path), "/").write(tmp_path / "context")
    (tmp_path / "experiment").write_text(json.dumps({"method": []}))
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path / "experiment")],
        env={**os.environ, VARIABLE: str(tmp_path / "context")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "ready True\n"), done.stderr
