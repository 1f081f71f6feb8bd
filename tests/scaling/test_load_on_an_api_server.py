"""What load Jobs create on an API server, whose load they bring with all that it needs."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from harness.errors import HarnessError
from harness.load.kubernetes import manifests
from harness.load.kubernetes.driver import LoadJobs
from harness.load.kubernetes.options import JobOptions
from harness.load.plan import LoadPlan
from harness.session.cluster import LoadLocation, cluster_session
from harness.session.options import RunOptions
from tests.platform_kubernetes.fake import NAMESPACE, FakeApi, kubeconfig, serving
from tests.record import synthetic

JOBS = JobOptions(NAMESPACE)
LOCUSTFILE = """
from locust import HttpUser, task

class Shopper(HttpUser):
    @task
    def browse(self):
        self.client.get("/")
"""


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with serving() as found:
        yield found


def created(api: FakeApi, plan: LoadPlan) -> dict[str, Any]:
    """The objects of a run by their names' ends; its master's pod has an address at once."""
    configuration = client.Configuration(host=api.url)
    configuration.api_key = {"authorization": "Bearer none"}
    jobs = LoadJobs(plan, None, api=client.ApiClient(configuration), options=JOBS)
    pod = {
        "metadata": {"labels": manifests.labels(jobs.run, "master")},
        "spec": {"containers": [{"name": "load"}]},
        "status": {"phase": "Running", "podIP": "198.18.0.9"},
    }
    api.put(f"/api/v1/namespaces/{NAMESPACE}/pods/master", pod)
    with jobs:
        return {
            path.rpartition(f"{jobs.run}-")[2]: api.get(path)
            for path in list(api.objects)
            if jobs.run in path
        }


def test_the_files_of_tls_go_as_a_secret_beside_the_plan(api: FakeApi, tmp_path: Path) -> None:
    """It belongs to the master's Job, as all else does; master and workers mount it."""
    ca, scenario = tmp_path / "ca.pem", tmp_path / "mine.py"
    ca.write_text("PEM")
    scenario.write_text("X = 1\n")
    plan = replace(synthetic.plan(), workers=2)
    plan = replace(plan, traffic=replace(plan.traffic, source=str(scenario)))
    assert "tls" not in created(api, plan)
    found = created(api, replace(plan, target=replace(plan.target, ca_file=str(ca))))
    assert set(found) == {"master", "worker", "plan", "scenario", "tls"}
    assert base64.b64decode(found["tls"]["data"]["ca.pem"]) == b"PEM"
    assert found["tls"]["metadata"]["ownerReferences"][0]["name"].endswith("-master")
    for role in ("master", "worker"):
        assert found["tls"]["metadata"]["name"] in json.dumps(found[role])


def test_a_locustfile_and_options_of_connections_are_planned_for_pods(
    api: FakeApi, tmp_path: Path
) -> None:
    """Its users as a closed model; what only the engine does is refused by name."""
    source = tmp_path / "locustfile.py"
    source.write_text(LOCUSTFILE)
    place = LoadLocation(NAMESPACE, JOBS, kubeconfig=kubeconfig(tmp_path / "config", api.url))
    options = RunOptions(
        "memorai", platform="kubernetes", scenario=str(source), users=5, workers=2,
        duration_s=3.0, target="https://127.0.0.1:9/", connect={"verify": False},
        results=tmp_path / "results", allow_targets=("127.0.0.1",),
    )  # fmt: skip
    with cluster_session(options, place) as (ready, _):
        plan = ready.plan(ready.profile())
    assert plan.traffic.locustfile
    assert (plan.profile.users, plan.profile.spawn_rate, plan.workers) == (5, 1.0, 2)
    assert not plan.target.verify
    for connect, says in (
        ({"http2": True}, "--http2, which Python's clients cannot do"),
        ({"unix_socket": "/run/x"}, "--unix-socket names a file of this machine"),
    ):
        asked = replace(options, connect=connect)
        with pytest.raises(HarnessError, match=says), cluster_session(asked, place):
            pass
    without = replace(options, target=None, connect={"ca_file": str(source)})
    with (
        pytest.raises(HarnessError, match="--cacert is for a URL"),
        cluster_session(without, place),
    ):
        pass
