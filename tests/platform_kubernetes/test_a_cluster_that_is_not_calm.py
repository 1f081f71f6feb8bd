"""An API server that is busy or wants another token is asked again, for a bounded time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import urllib3
import yaml
from kubernetes.client.exceptions import ApiException

from benchmarks.chaos.rough import Rough, Trouble, before, kubeconfig_of
from harness.catalog.model import Service
from harness.chaos.ledger import Ledger
from harness.chaos.undo import undo_all
from harness.errors import PlatformError
from harness.platform.kubernetes import access
from harness.platform.kubernetes.platform import Kubernetes, Where
from harness.platform.model import Fault
from tests.platform_kubernetes.fake import DEPLOYMENT, NAMESPACE, FakeApi
from tests.platform_kubernetes.kubelet import Kubelet


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses between two attempts."""
    monkeypatch.setattr(access, "RETRIES", access.RETRIES.new(backoff_factor=0, backoff_jitter=0))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("status", [429, 500, 503])
def test_reads_and_changes_are_tried_again_while_the_server_is_busy(
    platform: Kubernetes, service: Service, api: FakeApi, status: int
) -> None:
    api.busy = [status] * 5
    assert len(platform.replicas(service)) == 2
    api.busy = [status] * 5
    platform._cluster.patch("deployment", "memorai", {"spec": {"replicas": 3}})
    assert api.get(DEPLOYMENT)["spec"]["replicas"] == 3


@pytest.mark.usefixtures("quick")
def test_a_server_that_stays_busy_is_told_with_its_own_words(
    platform: Kubernetes, service: Service, api: FakeApi
) -> None:
    api.busy = [429] * 50
    with pytest.raises(PlatformError, match=r"refused \(429\): try again"):
        platform.replicas(service)
    assert len(api.busy) > 30


def test_a_server_is_asked_for_about_twenty_seconds() -> None:
    """Back-off of a run of refusals, without jitter; a longer wait that it names is not taken."""
    retry = access.RETRIES.new(backoff_jitter=0)
    waited = 0.0
    for _ in range(8):
        retry = retry.increment("GET", "/", urllib3.HTTPResponse(status=429))
        waited += retry.get_backoff_time()
    assert 15 < waited < 25
    assert not access.RETRIES.respect_retry_after_header


def test_a_token_that_has_been_replaced_is_read_again(
    config: Path, service: Service, api: FakeApi
) -> None:
    tokens = config.parent / "token"
    tokens.write_text("first")
    document = yaml.load(config.read_text(), yaml.CSafeLoader)
    document["users"][0]["user"] = {"tokenFile": str(tokens)}
    config.write_text(yaml.safe_dump(document))
    platform = Kubernetes(Where(NAMESPACE, kubeconfig=str(config)))
    assert platform.replicas(service)
    api.expired = {"first"}
    with pytest.raises(PlatformError, match="log in again"):
        platform.replicas(service)
    tokens.write_text("second")
    assert platform.replicas(service)


def test_a_token_that_another_thread_has_read_already_is_taken(config: Path, api: FakeApi) -> None:
    """The request that was refused still had the one before."""
    client = Kubernetes(Where(NAMESPACE, kubeconfig=str(config)))._cluster.api
    headers = {"authorization": "Bearer before"}
    assert client._renewed(headers)
    assert headers == {"authorization": "Bearer none"}
    assert not client._renewed(headers)


@dataclass
class BreakOff(Rough):
    """Breaks the first answer to a method."""

    method: str = ""
    how: Trouble = "cut"

    def trouble(self, method: str, token: str) -> Trouble | Literal["401"] | None:
        """Break off the first, and let the others pass."""
        self.met[method] += 1
        return self.how if method == self.method and self.met[method] == 1 else None


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
@pytest.mark.parametrize("how", ["cut", "dropped"])
def test_questions_and_changes_whose_answer_broke_off_are_made_once_more(
    api: FakeApi, tmp_path: Path, method: str, how: Trouble
) -> None:
    """A review is a question though it is posted."""
    rough = BreakOff(1, tmp_path / "token", method=method, how=how)
    with before(api.url, rough, authorization="Bearer none") as url:
        config = kubeconfig_of(tmp_path / "rough", url, rough.tokens)
        through = Kubernetes(Where(NAMESPACE, kubeconfig=str(config)))._cluster
        access.require(through.api, NAMESPACE, (("", "pods", "list"),))
        through.patch("deployment", "memorai", {"spec": {"replicas": 3}})
        assert through.workload("memorai").replicas == 3
    assert rough.met == {"GET": 1, "POST": 1, "PATCH": 1, method: 2}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("seed", range(2))
def test_a_fault_through_a_server_that_is_not_calm_is_undone_and_leaves_nothing(
    platform: Kubernetes,
    service: Service,
    api: FakeApi,
    kubelet: Kubelet,
    tmp_path: Path,
    seed: int,
) -> None:
    """Refusals of all kinds, broken answers and tokens that expire, drawn by a seed."""
    rough = Rough(seed, tmp_path / "token")
    with before(api.url, rough, authorization="Bearer none") as url:
        config = kubeconfig_of(tmp_path / "rough", url, rough.tokens)
        through = Kubernetes(Where(NAMESPACE, kubeconfig=str(config)))
        with Ledger.open() as ledger:
            for number in range(3):
                fault = Fault("scale", {"replicas": 4})
                try:
                    heal = through.plan_heal(service, fault, f"scale-{number}")
                    ledger.intend(heal, through.handle())
                    through.inject(service, fault, heal)
                except PlatformError:
                    pass  # refused for good: what it may have left is undone all the same
                for _ in range(3):
                    if all(done.problem is None for done in undo_all(through, ledger)):
                        break
                assert api.get(DEPLOYMENT)["spec"]["replicas"] == 2
            assert not ledger.entries()
    assert rough.met["all"] > 50
    assert platform.residual_faults() == ()


@pytest.mark.parametrize(
    ("method", "path", "status", "again"),
    [
        ("POST", "/api/v1/namespaces/n/configmaps", 429, True),
        ("POST", "/api/v1/namespaces/n/configmaps", 500, False),
        ("POST", "/api/v1/namespaces/n/configmaps", 409, False),
        ("POST", "/api/v1/namespaces/n/pods/p/eviction", 429, False),
        ("PATCH", "/api/v1/nodes/a?dryRun=All", 409, True),
        ("PUT", "/apis/coordination.k8s.io/v1/namespaces/n/leases/l", 409, False),
        ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", 500, True),
        ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", 409, True),
        ("POST", "/api/v1/namespaces/n/pods?dryRun=All", 500, True),
    ],
)
def test_what_was_refused_without_being_carried_out_is_asked_again(
    method: str, path: str, status: int, *, again: bool
) -> None:
    """Nothing is created twice; a budget's refusal and a version's conflict have their own care."""
    assert access.turned_away(method, f"https://host{path}", status) is again


def test_an_expired_version_is_no_object_that_is_gone() -> None:
    assert access.is_gone(ApiException(status=404))
    assert not access.is_gone(ApiException(status=410))
