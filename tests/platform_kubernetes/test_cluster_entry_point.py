"""Where the entry point of a service is: what users take, as the namespace has it."""

from __future__ import annotations

from typing import Any

import pytest

from harness.catalog.model import Service
from harness.platform.kubernetes.platform import Kubernetes, Where
from tests.platform_kubernetes.fake import NAMESPACE, SERVICE, FakeApi

INGRESS = f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/ingresses/front"


def ingress(host: str | None, path: str = "/", to: str = "memorai", **more: Any) -> dict[str, Any]:
    backend = {"service": {"name": to, "port": {"number": 3001}}}
    way = {"path": path, "pathType": "Prefix", "backend": backend}
    rule: dict[str, Any] = {"http": {"paths": [way]}}
    if host is not None:
        rule["host"] = host
    return {
        "spec": {"rules": [rule], **more},
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}},
    }


@pytest.mark.parametrize(
    ("made", "url", "host"),
    [
        (ingress("memorai.example"), "http://192.0.2.7", "memorai.example"),
        (ingress("*.example"), "http://192.0.2.7", "memorai.example"),
        (ingress(None), "http://192.0.2.7", None),
        (
            ingress("memorai.example", tls=[{"hosts": ["memorai.example"]}]),
            "https://192.0.2.7",
            "memorai.example",
        ),
        (
            ingress("memorai.example", tls=[{"hosts": ["*.example"]}]),
            "https://192.0.2.7",
            "memorai.example",
        ),
        (ingress("memorai.example", path="/api"), "http://192.0.2.7", "memorai.example"),
    ],
)
def test_an_ingress_is_reached_by_its_own_address_with_its_hosts_name(
    platform: Kubernetes,
    service: Service,
    api: FakeApi,
    made: dict[str, Any],
    url: str,
    host: str | None,
) -> None:
    api.put(INGRESS, made)
    found = platform.target(service, "global")
    assert (found.urls, found.host, found.server_name) == ((url,), host, host)
    assert "Ingress front" in found.description


@pytest.mark.parametrize(
    "made",
    [
        ingress("memorai.example", to="another"),
        ingress("memorai.example", path="/admin"),
        ingress("memorai.example") | {"status": {}},
    ],
)
def test_an_ingress_that_does_not_lead_to_the_service_is_none(
    platform: Kubernetes, service: Service, api: FakeApi, made: dict[str, Any]
) -> None:
    """It is for another, for a part of the routes only, or nobody serves it."""
    api.put(INGRESS, made)
    assert platform.target(service, "global").urls == platform.target(service).urls


def test_a_load_balancer_comes_before_the_address_within(
    platform: Kubernetes, service: Service, api: FakeApi
) -> None:
    found = api.get(SERVICE)
    found["status"] = {"loadBalancer": {"ingress": [{"hostname": "lb.example"}]}}
    api.put(SERVICE, found)
    assert platform.target(service, "global").urls == ("http://lb.example:3001",)
    assert platform.target(service).urls != ("http://lb.example:3001",)


def test_the_url_that_the_user_named_comes_before_all(
    platform: Kubernetes, service: Service, api: FakeApi
) -> None:
    api.put(INGRESS, ingress("memorai.example"))
    where: Any = platform.handle()["where"]
    config = where["kubeconfig"]
    named = Kubernetes(Where(NAMESPACE, kubeconfig=config, url="http://127.0.0.1:9"))
    assert named.target(service, "global").urls == ("http://127.0.0.1:9",)
