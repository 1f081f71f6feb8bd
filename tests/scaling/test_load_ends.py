"""What is said of load in a cluster that ended before its time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes import client

from harness.load.kubernetes.driver import LoadJobs
from harness.load.kubernetes.options import JobOptions


@pytest.mark.parametrize(("ran_s", "early"), [(29.1, False), (28.9, True)])
def test_load_that_ends_more_than_a_second_early_says_what_its_master_was(
    ran_s: float, monkeypatch: pytest.MonkeyPatch, *, early: bool
) -> None:
    clock = SimpleNamespace(monotonic_ns=lambda: int(ran_s * 1e9))
    monkeypatch.setattr("harness.load.kubernetes.driver.time", clock)
    plan: Any = SimpleNamespace(profile=SimpleNamespace(duration_s=30.0))
    jobs = LoadJobs(plan, None, api=client.ApiClient(), options=JobOptions("load"))
    jobs._master = "master"
    ending = client.V1Pod(
        metadata=client.V1ObjectMeta(name="master", deletion_timestamp="2026-11-25T10:00:00Z"),
        spec=client.V1PodSpec(containers=[]),
        status=client.V1PodStatus(phase="Running"),
    )
    monkeypatch.setattr(jobs._watch, "pods", lambda: [ending])  # since the last look
    said = ["the load ended 29 s into 30 s: its master's pod was Terminating"]
    assert jobs._cut_short() == (said if early else [])
    jobs._stops = 1
    assert jobs._cut_short() == []
