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
from tests.platform_kubernetes.fake import NAMESPACE, kubeconfig, serving

CHILD = """
import pathlib, sys
from harness.chaos import toolkit_runner
toolkit_runner.take_over_stdout = lambda: None
toolkit_runner.send = lambda event: print(event["what"])
sys.exit(toolkit_runner.main(pathlib.Path(sys.argv[1]), pathlib.Path("none"), 1.0, 1.0))
"""


def test_the_global_edge_is_found_before_the_first_probes_time_begins(
    tmp_path: Path, service: Service
) -> None:
    """On a busy machine what the first question imports may take as long as a probe may."""
    with serving() as api:
        config = kubeconfig(tmp_path / "kubeconfig", api.url)
        handle = Kubernetes(Where(NAMESPACE, kubeconfig=str(config))).handle()
        assert ready(tmp_path, Context(handle, service, str(tmp_path), "/")) == (1, "ready\n")
        assert ("list", "ingresses") in api.asked["none"]


def ready(tmp_path: Path, context: Context) -> tuple[int, str]:
    """Exit code and words of a process that is told to end as soon as it is ready."""
    context.write(tmp_path / "context")
    (tmp_path / "experiment").write_text(json.dumps({"method": []}))
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path / "experiment")],
        env={**os.environ, VARIABLE: str(tmp_path / "context")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout
