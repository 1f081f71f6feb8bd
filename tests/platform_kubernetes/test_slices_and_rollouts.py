"""EndpointSlices say which pods a Service has; a workload may be one of Argo Rollouts."""

from __future__ import annotations

import pytest

from harness.catalog.model import Service
from harness.errors import PlatformError
from harness.platform.kubernetes import api_changes
from harness.platform.kubernetes.platform import Kubernetes
from harness.platform.model import Fault
from harness.platform.undo import Deletion, Scaling
from tests.platform_kubernetes.fake import DEPLOYMENT, NAMESPACE, SELECTOR, SERVICE, FakeApi
from tests.platform_kubernetes.kubelet import Kubelet
from tests.platform_kubernetes.test_whose_pods import PODS, RELEASE, add_pod, change_of, targets

SLICES = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"


def list_pods(api: FakeApi, *names: str) -> None:
    """Put these pods into the Service's EndpointSlice."""
    ends = [
        {
            "addresses": ["10.0.0.1"],
            "targetRef": {"kind": "Pod", "uid": api.get(f"{PODS}/{name}")["metadata"]["uid"]},
        }
        for name in names
    ]
    labels = {"kubernetes.io/service-name": "memorai"}
    body = {"metadata": {"labels": labels}, "addressType": "IPv4", "endpoints": ends}
    api.put(f"{SLICES}/memorai-1", body)


def test_a_ready_pod_that_the_endpoint_slices_do_not_list_is_no_replica_and_is_named(
    platform: Kubernetes, service: Service, api: FakeApi
) -> None:
    add_pod(api, "memorai-canary", SELECTOR)
    starting = {"conditions": [{"type": "Ready", "status": "False"}]}
    add_pod(api, "memorai-new", SELECTOR, status=starting)
    list_pods(api, "memorai-us-east-1a", "memorai-eu-west-1a")
    found = {each.id for each in platform.replicas(service)}
    assert found == {"memorai-us-east-1a", "memorai-eu-west-1a", "memorai-new"}
    assert "memorai-canary" not in targets(platform, service, "kill-replicas")
    assert any("memorai-canary (not in the Service)" in n for n in platform.notes(service))


def test_a_service_without_a_selector_has_the_pods_of_its_endpoint_slices(
    platform: Kubernetes, service: Service, api: FakeApi
) -> None:
    add_pod(api, "by-hand", {"app": "anything"})
    list_pods(api, "by-hand")
    api.put(SERVICE, {"spec": {"clusterIP": "10.0.0.2", "ports": [{"port": 3001}]}})
    assert targets(platform, service, "kill-replicas") == ["by-hand"]


def test_where_endpoint_slices_may_not_be_read_the_selector_says_whose_pods(
    platform: Kubernetes, service: Service, api: FakeApi
) -> None:
    list_pods(api, "memorai-us-east-1a")
    api.denied.add(("list", "endpointslices"))
    assert len(platform.replicas(service)) == 2


ROLLOUT = f"/apis/argoproj.io/v1alpha1/namespaces/{NAMESPACE}/rollouts/memorai"


@pytest.fixture
def rollout(api: FakeApi) -> None:
    """The service made by an Argo Rollout of two replicas."""
    del api.objects[DEPLOYMENT]
    api.put(ROLLOUT, {"spec": {"replicas": 2}})
    api.put(f"{ROLLOUT}/scale", {"spec": {"replicas": 2}, "status": {"replicas": 2}})


@pytest.mark.usefixtures("rollout")
def test_an_argo_rollout_is_scaled_marked_and_put_back(
    platform: Kubernetes, service: Service, api: FakeApi, kubelet: Kubelet
) -> None:
    """Its replicas are read by its subresource `scale`; an agent could undo it as well."""
    fault = Fault("scale", {"replicas": 5})
    heal = platform.plan_heal(service, fault, "scale-1")
    assert change_of(heal) == Scaling(5, 2, "rollout")
    platform.inject(service, fault, heal)
    assert api.get(ROLLOUT)["spec"]["replicas"] == 5
    assert [mark.what for mark in api_changes.marked(platform._cluster)] == ["rollout memorai"]
    platform.heal(heal)
    assert api.get(ROLLOUT)["spec"]["replicas"] == 2
    assert platform.residual_faults() == ()


@pytest.mark.usefixtures("rollout")
def test_an_argo_rollout_is_no_target_of_releases_and_its_pods_are_of_kills(
    platform: Kubernetes, service: Service, api: FakeApi
) -> None:
    with pytest.raises(PlatformError, match="Argo Rollouts, which has steps of its own"):
        platform.plan_heal(service, RELEASE, "bad-1")
    change = change_of(platform.plan_heal(service, Fault("kill-replicas", {"count": 1}), "kill-1"))
    assert isinstance(change, Deletion)
    assert change.kind == "rollout"
