"""Actions of chaostoolkit-kubernetes in a method, beside the harness's own fault."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.catalog import project_root
from harness.catalog.model import Service
from harness.chaos.confirmed import confirmed_of
from harness.chaos.context import Context
from harness.chaos.experiment import load_experiment
from harness.chaos.ledger import Ledger
from harness.chaos.model import Experiment
from harness.chaos.plan import plan_experiment
from harness.chaos.processes import VARIABLE
from harness.judge.experiment.execution import activities
from harness.platform.kubernetes.access import tool_environment
from harness.platform.kubernetes.platform import Kubernetes
from harness.toolkit import Journal, journal_at
from tests.platform_kubernetes.fake import DEPLOYMENT, NAMESPACE, FakeApi

EXISTS = {"type": "python", "module": "os.path", "func": "exists", "arguments": {"path": "/"}}
NOT_UNDONE = "`scale down` (chaosk8s.deployment.actions.scale_deployment)"


def step(called: str, module: str, func: str, **arguments: Any) -> dict[str, Any]:
    provider = {"type": "python", "module": module, "func": func, "arguments": arguments}
    return {"type": "action", "name": called, "provider": provider, "pauses": {"after": 0.1}}


def written(path: Path, *rollbacks: dict[str, Any]) -> Experiment:
    """A pod is killed, and the deployment scaled down to those that are left."""
    heal = step("heal", "harness.chaos.actions", "heal")
    scale = {"name": "memorai", "replicas": 1, "ns": NAMESPACE}
    document = {
        "title": "T",
        "description": "D",
        "extensions": [{"name": "harness", "teaches": "t", "incident": "i",
                        "blast_radius": {"share": 0.5}}],
        "steady-state-hypothesis": {"title": "S", "probes": [
            {"type": "probe", "name": "there", "tolerance": True, "provider": EXISTS}]},
        "method": [
            step("kill", "harness.chaos.actions", "inject", fault="kill-replicas", count=1),
            step("scale down", "chaosk8s.deployment.actions", "scale_deployment", **scale),
            step("lose pods", "chaosk8s.pod.actions", "terminate_pods",
                 label_selector="app=nobody", ns=NAMESPACE),
            heal,
        ],
        "rollbacks": [heal, *rollbacks],
    }  # fmt: skip
    path.write_text(yaml.safe_dump(document))
    return load_experiment(str(path), project_root(), {}, "kubernetes")


def carried_out(directory: Path, context: Context, made: Experiment) -> Journal:
    """The journal of Chaos Toolkit's process, started as an experiment starts it."""
    file, document = directory / "context.json", directory / "experiment.json"
    context.write(file)
    document.write_text(json.dumps(made.document))
    journal = directory / "journal.json"
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "harness.chaos.toolkit_runner"),
            *(str(document), str(journal), "10", "5"),
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
        child.wait(60)
    return journal_at(journal)


@pytest.mark.slow
def test_an_action_acts_on_the_cluster_of_the_run_and_what_it_broke_is_named(
    platform: Kubernetes, service: Service, api: FakeApi, tmp_path: Path
) -> None:
    made = written(tmp_path / "beside.yaml")
    plan = plan_experiment(made, service, platform)
    assert f"nothing undoes what is done by {NOT_UNDONE}" in plan.notes
    with Ledger.open() as ledger:
        confirmed = confirmed_of(made, plan)
        context = Context(
            platform.handle(), service, str(ledger.directory), "/", confirmed=confirmed
        )
        journal = carried_out(tmp_path, context, made)
        assert ledger.entries() == ()
    assert [run["status"] for run in journal["run"] or ()] == ["succeeded"] * 4
    assert api.get(DEPLOYMENT)["spec"]["replicas"] == 1
    assert len(api.under("pods")) == 1
    found = activities(journal, [], [])
    assert found.outcome == "inconclusive"
    assert "Action `lose pods` matched nothing." in found.statement
    assert f"Nothing undoes what was done by {NOT_UNDONE}" in found.statement


def test_the_files_own_rollbacks_are_named_where_it_has_some(
    platform: Kubernetes, service: Service, tmp_path: Path
) -> None:
    scale = {"name": "memorai", "replicas": 2, "ns": NAMESPACE}
    up = step("scale up", "chaosk8s.deployment.actions", "scale_deployment", **scale)
    plan = plan_experiment(written(tmp_path / "beside.yaml", up), service, platform)
    assert f"only the file's own rollbacks undo what is done by {NOT_UNDONE}" in plan.notes


@pytest.mark.parametrize("named", [None, "test"])
def test_the_context_that_the_harness_takes_is_the_extensions_too(
    named: str | None, config: Path
) -> None:
    """Also where the user's environment names another one."""
    found: Mapping[str, str] = tool_environment(named, config)
    assert found == {"KUBECONFIG": str(config), "KUBERNETES_CONTEXT": "test"}
