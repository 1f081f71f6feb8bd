"""Actions of chaostoolkit-kubernetes in a method, beside the harness's own fault."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.catalog.model import Service
from harness.chaos.confirmed import confirmed_of
from harness.chaos.context import Context
from harness.chaos.ledger import Ledger
from harness.chaos.plan import plan_experiment
from harness.judge.experiment.execution import activities
from harness.platform.kubernetes.access import tool_environment
from harness.platform.kubernetes.platform import Kubernetes
from tests.platform_kubernetes.beside import carried_out, step, written
from tests.platform_kubernetes.fake import DEPLOYMENT, NAMESPACE, FakeApi

NOT_UNDONE = "`scale` (chaosk8s.deployment.actions.scale_deployment)"


def scaling(replicas: int) -> dict[str, Any]:
    """The package's action that sets the replicas of memorai."""
    where = {"name": "memorai", "replicas": replicas, "ns": NAMESPACE}
    return step("scale", "chaosk8s.deployment.actions", "scale_deployment", **where)


@pytest.mark.slow
def test_an_action_acts_on_the_cluster_of_the_run_and_what_it_broke_is_named(
    platform: Kubernetes, service: Service, api: FakeApi, tmp_path: Path
) -> None:
    made = written(tmp_path / "beside.yaml", NAMESPACE, scaling(1))
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
    made = written(tmp_path / "beside.yaml", NAMESPACE, scaling(1), scaling(2))
    plan = plan_experiment(made, service, platform)
    assert f"only the file's own rollbacks undo what is done by {NOT_UNDONE}" in plan.notes


@pytest.mark.parametrize("named", [None, "test"])
def test_the_context_that_the_harness_takes_is_the_extensions_too(
    named: str | None, config: Path
) -> None:
    """Also where the user's environment names another one."""
    found: Mapping[str, str] = tool_environment(named, config)
    assert found == {"KUBECONFIG": str(config), "KUBERNETES_CONTEXT": "test"}
