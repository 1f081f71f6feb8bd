"""An experiment whose method has actions of chaostoolkit-kubernetes beside the harness's fault."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from harness.catalog import project_root
from harness.chaos.context import Context
from harness.chaos.experiment import load_experiment
from harness.chaos.model import Experiment
from harness.chaos.processes import VARIABLE
from harness.toolkit import Journal, journal_at

EXISTS = {"type": "python", "module": "os.path", "func": "exists", "arguments": {"path": "/"}}


def step(called: str, module: str, func: str, **arguments: Any) -> dict[str, Any]:
    """An action that calls a function of Python."""
    provider = {"type": "python", "module": module, "func": func, "arguments": arguments}
    return {"type": "action", "name": called, "provider": provider, "pauses": {"after": 0.1}}


def written(
    path: Path, namespace: str, act: dict[str, Any], *rollbacks: dict[str, Any]
) -> Experiment:
    """A pod is killed, the package's `act` is done, and pods are terminated that nobody has."""
    heal = step("heal", "harness.chaos.actions", "heal")
    nobody = {"label_selector": "app=nobody", "ns": namespace}
    document = {
        "title": "T",
        "description": "D",
        "extensions": [{"name": "harness", "teaches": "t", "incident": "i",
                        "blast_radius": {"share": 0.5}}],
        "steady-state-hypothesis": {"title": "S", "probes": [
            {"type": "probe", "name": "there", "tolerance": True, "provider": EXISTS}]},
        "method": [
            step("kill", "harness.chaos.actions", "inject", fault="kill-replicas", count=1),
            act,
            step("lose pods", "chaosk8s.pod.actions", "terminate_pods", **nobody),
            heal,
        ],
        "rollbacks": [heal, *rollbacks],
    }  # fmt: skip
    path.write_text(yaml.safe_dump(document))
    return load_experiment(str(path), project_root(), {}, "kubernetes")


def carried_out(
    directory: Path, context: Context, made: Experiment, within_s: float = 60.0
) -> Journal:
    """The journal of Chaos Toolkit's process, started as an experiment starts it."""
    file, document = directory / "context.json", directory / "experiment.json"
    context.write(file)
    document.write_text(json.dumps(made.document))
    journal = directory / "journal.json"
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "harness.chaos.toolkit_runner"),
            *(str(document), str(journal), str(within_s), "5"),
        ],
        env={
            **os.environ,
            "KUBECONFIG": str(directory / "of another cluster"),
            **context.platform.tool_environment(),
            VARIABLE: str(file),
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
        child.wait(within_s)
    return journal_at(journal)
