"""A small API server on loopback: objects by their path, and what a node would do with a pod.

It knows resource versions, label selectors, deletion, merge patches (lists of named things merge by
name, as Kubernetes' strategic merge does), dry runs and permission reviews; nothing else.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

Json = dict[str, Any]

NAMESPACE = "codai-staging"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/memorai"
SERVICE = f"/api/v1/namespaces/{NAMESPACE}/services/memorai"
NODE = "/api/v1/nodes/us-east-1a"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/codai-harness"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
KINDS = {
    "namespaces",
    "nodes",
    "pods",
    "services",
    "ingresses",
    "configmaps",
    "secrets",
    "deployments",
    "jobs",
    "statefulsets",
    "daemonsets",
    "leases",
    "poddisruptionbudgets",
    "eviction",
    "events",
    "resourcequotas",
    "horizontalpodautoscalers",
    "verticalpodautoscalers",
    "endpointslices",
    "rollouts",
    "scale",
}
LABELS = {
    "app": "memorai",
    "app.kubernetes.io/name": "memorai",
    "app.kubernetes.io/part-of": "codai-ecosystem",
}

READY = {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
SELECTOR = {"app": "memorai"}


def owner(kind: str) -> Json:
    """The reference of a pod to what made it."""
    return {"apiVersion": "v1", "kind": kind, "name": "memorai", "uid": "uid-owner"}


class FakeApi:
    """Its objects, what was asked of it, and what it refuses.

    `asked` holds (verb, resource) of every request by the token that made it.
    `busy` holds what it answers the next requests with, instead; `expired` tokens are refused.
    `denied` holds (verb, resource or path) that nobody may; `kubelet` hears of every pod that is
    made.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.asked: dict[str, set[tuple[str, str]]] = {}
        self.denied: set[tuple[str, str]] = set()
        self.busy: list[int] = []
        self.expired: set[str] = set()
        self.kubelet: Callable[[Json], None] = lambda pod: None
        self.lock = threading.RLock()
        self.url = ""
        self._version = 0

    def put(self, path: str, body: Json) -> Json:
        """Store an object as a new version."""
        with self.lock:
            self._version += 1
            body.setdefault("metadata", {})["resourceVersion"] = str(self._version)
            body["metadata"].setdefault("name", path.rpartition("/")[2])
            self.objects[path] = body
            return body

    def get(self, path: str) -> Json:
        """An object; KeyError where there is none."""
        with self.lock:
            return copy.deepcopy(self.objects[path])

    def under(self, kind: str) -> list[str]:
        """The names of all objects of a kind in the namespace."""
        with self.lock:
            return [p.rpartition("/")[2] for p in self.objects if f"/{kind}/" in p]

    def answer(
        self, token: str, method: str, path: str, query: Mapping[str, str], body: Any
    ) -> tuple[int, Json]:
        """Status and answer of one request."""
        with self.lock:
            if self.busy:
                return _problem(self.busy.pop(0), "try again")
            if token in self.expired:
                return _problem(401, "Unauthorized")
            if path == REVIEWS:
                return 201, self._review(body)
            verb, resource = permission(method, path)
            self.asked.setdefault(token, set()).add((verb, resource))
            if {(verb, resource), (verb, path)} & self.denied:
                return _problem(403, f"may not {verb} {resource}")
            return getattr(self, f"_{method.lower()}")(path, query, body)  # type: ignore[no-any-return]

    def _review(self, body: Json) -> Json:
        asked = body["spec"]["resourceAttributes"]
        name = "/".join(filter(None, (asked["resource"], asked.get("subresource"))))
        allowed = (asked["verb"], name) not in self.denied
        return {**body, "status": {"allowed": allowed}}

    def _get(self, path: str, query: Mapping[str, str], body: Any) -> tuple[int, Json]:
        if path in self.objects:
            return 200, self.objects[path]
        if path.rpartition("/")[2] in KINDS:
            return 200, {"items": [self.objects[each] for each in self._selected(path, query)]}
        return _problem(404, f"{path} is not there")

    def _selected(self, path: str, query: Mapping[str, str]) -> list[str]:
        wanted = dict(p.split("=") for p in query.get("labelSelector", "").split(",") if p)
        node = query.get("fieldSelector", "").removeprefix("spec.nodeName=")
        if path == "/api/v1/pods":
            pods = {each: found for each, found in self.objects.items() if "/pods/" in each}
            return [each for each, found in pods.items() if found["spec"].get("nodeName") == node]
        return [
            each
            for each, found in self.objects.items()
            if each.rpartition("/")[0] == path
            and wanted.items() <= (found["metadata"].get("labels") or {}).items()
        ]

    def _post(self, path: str, query: Mapping[str, str], body: Any) -> tuple[int, Json]:
        if path.endswith("/eviction"):
            self.objects.pop(path.removesuffix("/eviction"), None)
            return 201, body
        target = f"{path}/{body['metadata']['name']}"
        if target in self.objects:
            return _problem(409, f"{target} is there already")
        if query.get("dryRun"):
            return 201, body
        if path.endswith("/pods"):
            body["status"] = {"phase": "Running"}
        elif path.endswith("/jobs"):
            body["metadata"].setdefault("uid", f"uid-{body['metadata']['name']}")
        made = self.put(target, body)
        if path.endswith("/pods"):
            threading.Thread(target=self.kubelet, args=(copy.deepcopy(made),), daemon=True).start()
        return 201, made

    def _put(self, path: str, query: Mapping[str, str], body: Any) -> tuple[int, Json]:
        if path not in self.objects:
            return _problem(404, f"{path} is not there")
        version = body["metadata"].get("resourceVersion")
        if version not in {None, self.objects[path]["metadata"]["resourceVersion"]}:
            return _problem(409, "the object has been modified")
        return 200, self.put(path, body)

    def _patch(self, path: str, query: Mapping[str, str], body: Any) -> tuple[int, Json]:
        if path not in self.objects:
            return _problem(404, f"{path} is not there")
        found = merged(self.objects[path], body)
        return 200, found if "dryRun" in query else self.put(path, found)

    def _delete(self, path: str, query: Mapping[str, str], body: Any) -> tuple[int, Json]:
        if path in self.objects:
            wanted = ((body or {}).get("preconditions") or {}).get("resourceVersion")
            if wanted not in {None, self.objects[path]["metadata"]["resourceVersion"]}:
                return _problem(409, "the object has been modified")
        if path in self.objects:
            was = self.objects.pop(path)
            return 200, was if "/pods/" in path else {"status": "Success"}
        if path.rpartition("/")[2] not in KINDS:
            return _problem(404, f"{path} is not there")
        for each in self._selected(path, query):
            del self.objects[each]
        return 200, {"status": "Success"}


def permission(method: str, path: str) -> tuple[str, str]:
    """The verb and the resource that a request takes, as a role names them."""
    kind = next(name for name in reversed(path.split("/")) if name in KINDS)
    verb = {"GET": "get", "POST": "create", "PUT": "update"}.get(method, method.lower())
    if path.endswith(f"/{kind}"):
        verb = {"get": "list", "delete": "deletecollection"}.get(verb, verb)
    return verb, {"eviction": "pods/eviction", "scale": "rollouts/scale"}.get(kind, kind)


def merged(was: Any, patch: Any) -> Any:
    """The strategic merge of a patch into what was."""
    if isinstance(patch, dict):
        found = dict(was or {})
        for key, value in patch.items():
            new = merged(found.get(key), value)
            found.pop(key, None)
            if new is not None:
                found[key] = new
        return found
    named = isinstance(patch, list) and all(isinstance(each, dict) for each in patch)
    if named and {"$patch": "replace"} in patch:
        return [each for each in patch if "$patch" not in each]
    if named and all("name" in each for each in patch):
        by_name = {each["name"]: each for each in was or ()}
        for each in patch:
            by_name[each["name"]] = merged(by_name.get(each["name"]), each)
        return list(by_name.values())
    return copy.deepcopy(patch)


def _problem(code: int, text: str) -> tuple[int, Json]:
    return code, {"kind": "Status", "code": code, "message": text}


@contextmanager
def serving() -> Iterator[FakeApi]:
    """A cluster of two nodes in two regions with a Deployment `memorai` of two ready pods."""
    api = FakeApi()
    furnish(api)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet: a second one waits for the first's ACK

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            size = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(size)) if size else None
            query = {key: value[0] for key, value in parse_qs(parts.query).items()}
            token = self.headers["authorization"].removeprefix("Bearer ")
            code, answer = api.answer(token, self.command, parts.path, query, body)
            text = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - the library's names

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        api.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield api
        server.shutdown()


def furnish(api: FakeApi) -> None:
    """The objects of `serving`."""
    api.put(f"/api/v1/namespaces/{NAMESPACE}", {})
    for name in ("us-east-1a", "eu-west-1a"):
        labels = {"topology.kubernetes.io/region": name[:-1], "topology.kubernetes.io/zone": name}
        node = {"metadata": {"labels": labels}, "spec": {"podCIDR": "10.0.0.0/24"}}
        ready = [{"type": "Ready", "status": "True"}]
        api.put(f"/api/v1/nodes/{name}", {**node, "status": {"conditions": ready, "addresses": []}})
        pod = {
            "metadata": {
                "labels": LABELS,
                "uid": f"uid-{name}",
                "ownerReferences": [owner("ReplicaSet")],
            },
            "spec": {"nodeName": name, "containers": [{"name": "memorai"}]},
            "status": {"phase": "Running", "conditions": ready, "podIP": "10.0.0.1"},
        }
        api.put(f"/api/v1/namespaces/{NAMESPACE}/pods/memorai-{name}", pod)
    ports = [{"port": 3001}]
    api.put(SERVICE, {"spec": {"clusterIP": "10.0.0.2", "ports": ports, "selector": SELECTOR}})
    container = {"name": "memorai", "image": "good:1", "env": [{"name": "MODE", "value": "calm"}]}
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [container]}}
    selector = {"matchLabels": LABELS}
    spec = {"replicas": 2, "selector": selector, "template": template}
    api.put(DEPLOYMENT, {"spec": spec, "status": READY})


def kubeconfig(path: Path, server: str, word: str = "none") -> Path:
    """A kubeconfig of one context, `test`."""
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": {"server": server}}],
                "users": [{"name": "u", "user": {"token": word}}],
                "contexts": [{"name": "test", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "test",
            }
        )
    )
    return path
