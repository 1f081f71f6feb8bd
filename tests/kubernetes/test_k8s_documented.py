"""docs/kubernetes.md is followed word by word: what is printed there works on a cluster."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.platform.kubernetes.platform import IMAGE_VARIABLE
from harness.storage import read_object
from tests.kubernetes.cluster.handle import Handle
from tests.kubernetes.cluster.workload import remove
from tests.verdicts import VERDICTS

pytestmark = pytest.mark.kubernetes

BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ (.+)$", re.MULTILINE)
MEASURED = {"perf", "baseline", "gate", "gameday"}
"""Commands whose exit code is a verdict. Four starved kubelets may be slow, or the machine too busy
to measure (4): that each was carried out is the page's part."""

CODES = {"baseline": {0, 4}}
LIMIT_S = 400
NAMESPACE = "codai-staging"
"""The page's own."""


def commands(page: str) -> list[str]:
    """Every command of the page, in order."""
    return [line for block in BLOCK.findall(page) for line in COMMAND.findall(block)]


def allowed(command: str, before: dict[str, int]) -> set[int]:
    """The exit codes that a command of the page may have after those before it."""
    words = command.split()
    if words[0] != "harness" or words[1] not in MEASURED:
        return {0}
    if words[1] == "gate" and before.get("baseline") == 4:
        return {2, 5, *VERDICTS}  # there may be too few valid runs to compare with, or none
    return CODES.get(words[1], VERDICTS)


@pytest.fixture
def place(cluster: Handle, project: Path, tmp_path: Path) -> Iterator[Path]:
    """A checkout whose results are its own, with a kubeconfig that may be changed."""
    remove(cluster, NAMESPACE)
    for name in ("deploy", "services", "scenarios", "experiments"):
        (tmp_path / name).symlink_to(project / name)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "kubectl").symlink_to(cluster.program)
    harness = programs / "harness"
    harness.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m harness "$@"\n')
    harness.chmod(0o755)
    words = ("config", "view", "--minify", "--raw", "--flatten")
    (tmp_path / "kubeconfig").write_text(cluster.kubectl(*words))
    yield tmp_path
    remove(cluster, NAMESPACE, wait=False)
    for wide in ("clusterrolebinding", "clusterrole"):
        cluster.try_kubectl("delete", wide, "codai-harness-base", "--ignore-not-found")
    for near in ("rolebinding", "role"):
        name = "codai-harness-node-events"
        cluster.try_kubectl("delete", near, name, "--namespace=default", "--ignore-not-found")


def test_every_command_of_the_page_does_what_it_says(
    cluster: Handle, place: Path, project: Path
) -> None:
    """In order, each in a shell of its own, with the roles that the page binds and no more."""
    environment = {
        **os.environ,
        "PATH": f"{place / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(project),
        "KUBECONFIG": str(place / "kubeconfig"),
        "HARNESS_HOME": str(place),
        "XDG_STATE_HOME": str(place / "state"),
        IMAGE_VARIABLE: cluster.image,
    }
    page = (project / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    codes: dict[str, int] = {}
    for command in commands(page):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=place,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        said = f"$ {command}\n{done.stdout}\n{done.stderr}"
        assert done.returncode in allowed(command, codes), f"{done.returncode}: {said}"
        assert "Traceback" not in said
        codes[command.split()[1]] = done.returncode
    assert {"perf", "gate", "gameday", "reap", "experiment"} <= set(codes)
    runs = [read_object(path) for path in (place / "results" / "memorai").glob("*/run.json")]
    assert len(runs) > 4
    assert all(run["conserved"] for run in runs)
    assert all(run["totals"]["completed"] > 1000 for run in runs)
