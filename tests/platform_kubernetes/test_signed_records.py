"""Only what a harness with the namespace's key recorded is undone."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from harness.catalog.model import Service
from harness.errors import PlatformError, UsageError
from harness.platform.kubernetes.access import SECRET
from harness.platform.kubernetes.platform import Kubernetes
from harness.platform.kubernetes.signing import VARIABLE
from harness.platform.model import Fault
from tests.platform_kubernetes.fake import DEPLOYMENT, NAMESPACE, FakeApi
from tests.platform_kubernetes.kubelet import doomed
from tests.platform_kubernetes.test_reap_a_cluster import reaped

SPACE = f"/api/v1/namespaces/{NAMESPACE}"
KEY = f"{SPACE}/secrets/{SECRET}"


def lease_of(api: FakeApi) -> str:
    """The path of the one fault's ConfigMap."""
    (found,) = [each for each in api.objects if f"{SPACE}/configmaps/harness-" in each]
    return found


@pytest.fixture
def scaled(platform: Kubernetes, service: Service, api: FakeApi) -> str:
    """A run that is gone has scaled the service to 5; the lease's path."""
    api.kubelet = doomed(api)
    fault = Fault("scale", {"replicas": 5})
    platform.inject(service, fault, platform.plan_heal(service, fault, "scale-1"))
    return lease_of(api)


def rewrite(api: FakeApi, path: str, **changed: object) -> None:
    """Change the record as somebody who may write ConfigMaps, and Deployments, would."""
    lease = api.get(path)
    sealed = json.loads(lease["data"]["heal"])
    sealed["record"]["undo"]["change"].update(changed)
    lease["data"]["heal"] = json.dumps(sealed)
    api.put(path, lease)
    deployment = api.get(DEPLOYMENT)
    notes = deployment["metadata"]["annotations"]
    notes.update(dict.fromkeys(notes, json.dumps(sealed)))
    api.put(DEPLOYMENT, deployment)


def test_a_record_that_was_changed_is_shown_and_carried_out_by_name_alone(
    scaled: str, api: FakeApi, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(api, scaled, was=0)
    code, found = reaped(config, capsys)
    name = scaled.rpartition("/")[2]
    assert code == 1
    assert found["undone"] == []
    assert f"lease {name}: not signed by a harness" in " ".join(found["leftovers"])
    assert api.get(DEPLOYMENT)["spec"]["replicas"] == 5
    assert reaped(config, capsys, "--force", "another", "--yes")[0] == 2
    code, found = reaped(config, capsys, "--force", name, "--yes")
    assert code == 0
    assert api.get(DEPLOYMENT)["spec"]["replicas"] == 0


def test_what_is_forced_is_asked_about(
    scaled: str, api: FakeApi, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(api, scaled, was=0)
    assert reaped(config, capsys, "--force", scaled.rpartition("/")[2])[0] != 0
    assert api.get(DEPLOYMENT)["spec"]["replicas"] == 5


@pytest.mark.parametrize("how", ["another key", "no key", "unsigned", "another namespace's"])
def test_a_signature_counts_with_this_namespaces_key_alone(
    scaled: str, api: FakeApi, platform: Kubernetes, config: Path, how: str
) -> None:
    fresh = Kubernetes(platform._where)
    assert [record.fault_id for record in fresh.orphaned_heals()] == ["scale-1"]
    lease = api.get(scaled)
    sealed = json.loads(lease["data"]["heal"])
    match how:
        case "another key":
            other = base64.b64encode(b"another key, of as many bytes too").decode()
            api.put(KEY, {**api.get(KEY), "data": {"key": other}})
        case "no key":
            api.objects.pop(KEY)
        case "unsigned":
            lease["data"]["heal"] = json.dumps(sealed["record"])
        case _:
            fresh._cluster.namespace = "elsewhere"
            seal, fresh._cluster.seal._key = fresh._cluster.seal, platform._cluster.seal._key
            assert not seal.opened(lease["data"]["heal"], scaled.rpartition("/")[2]).signed
            return
    api.put(scaled, lease)
    deployment = api.get(DEPLOYMENT)
    deployment["metadata"]["labels"] = {}
    api.put(DEPLOYMENT, deployment)
    fresh = Kubernetes(platform._where)
    assert fresh.orphaned_heals() == ()
    assert list(fresh.unsigned()) == [scaled.rpartition("/")[2]]


def test_the_operator_may_keep_the_key_out_of_the_cluster(
    platform: Kubernetes, service: Service, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "0123456789abcdef" * 2)
    api.kubelet = doomed(api)
    fault = Fault("scale", {"replicas": 5})
    platform.inject(service, fault, platform.plan_heal(service, fault, "scale-1"))
    assert KEY not in api.objects
    assert Kubernetes(platform._where).orphaned_heals()
    monkeypatch.setenv(VARIABLE, "another key of more than 32 characters")
    assert not Kubernetes(platform._where).orphaned_heals()
    monkeypatch.setenv(VARIABLE, "short")
    with pytest.raises(UsageError, match="shorter than 32 characters"):
        Kubernetes(platform._where).orphaned_heals()


@pytest.mark.parametrize("data", [None, {}, {"key": ""}, {"key": "c2hvcnQ="}, {"key": "?"}])
def test_a_secret_without_a_whole_key_is_refused(
    scaled: str, api: FakeApi, platform: Kubernetes, data: dict[str, str] | None
) -> None:
    """Whoever put it there could sign with it."""
    api.put(KEY, {**api.get(KEY), "data": data})
    with pytest.raises(PlatformError, match="holds no key of 32 bytes; delete it"):
        Kubernetes(platform._where).orphaned_heals()
