"""The API server: a client of it, what a load run may need, and its refusals in one line."""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from harness.errors import PlatformError, UsageError
from harness.faults.model import Permission, permissions
from harness.scratch import process_scratch

TIMEOUT_S = (5.0, 10.0)
"""To connect, and between two bytes of an answer, where a call says nothing else."""

RETRIES = urllib3.Retry(
    total=None,
    connect=1,
    read=1,
    status=8,
    status_forcelist=(410, 429, 500, 502, 503, 504),
    allowed_methods=("GET", "HEAD", "PUT", "PATCH", "DELETE"),
    backoff_factor=0.25,
    backoff_max=4.0,
    backoff_jitter=0.25,
    respect_retry_after_header=False,
    raise_on_status=False,
)
"""What a server that is not calm is asked again, for about 20 s in all. A request whose connection
broke is asked once more; a server that hangs is not waited for, nor one that names a longer wait.
Nothing is created twice, and an eviction that a budget refuses (429) is asked again elsewhere."""

RENEWALS = 2
"""How often one request is made with other credentials."""

UNAUTHORIZED, FORBIDDEN, NOT_FOUND, CONFLICT, BUSY = 401, 403, 404, 409, 429
T = TypeVar("T")

READ = (
    *permissions("", "pods nodes", "list"),
    *permissions("", "services", "get"),
    *permissions("", "events", "list"),
    *permissions("apps", "deployments statefulsets daemonsets", "get list"),
    *permissions("policy", "poddisruptionbudgets", "list"),
    *permissions("networking.k8s.io", "ingresses", "list"),
)
"""What a plan, a run's timeline and a look for marks read, whatever the fault."""

SECRET = "codai-harness-undo"  # noqa: S105 - its name
"""The key that signs undo records (`signing`)."""

LOOK = (
    *permissions("", "resourcequotas", "list"),
    *permissions("autoscaling", "horizontalpodautoscalers", "list"),
    *permissions("autoscaling.k8s.io", "verticalpodautoscalers", "list"),
    *permissions("discovery.k8s.io", "endpointslices", "list"),
    *permissions("argoproj.io", "rollouts", "list"),
    *permissions("argoproj.io", "rollouts/scale", "get"),
)
"""What a plan reads where it may: without it the plan says less."""

LEASE = (
    *permissions("", "secrets", "create get"),
    *permissions("", "configmaps", "create get list patch delete"),
)
"""What every fault's entry in the cluster takes."""

NAMED: Mapping[Permission, str] = {("", "secrets", "get"): SECRET}
"""The one object that a permission is about, where it is not about all."""

EXCLUSIVE = permissions("coordination.k8s.io", "leases", "create get update delete")
"""What keeps two runs from breaking one namespace."""

BASE = (*READ, *LEASE, *EXCLUSIVE)
"""What every run takes, whatever it breaks."""

LOAD_NEEDS = (
    *permissions("batch", "jobs", "create delete"),
    *permissions("", "secrets configmaps", "create"),
    *permissions("", "pods", "list patch delete"),
    *permissions("", "pods/log", "get"),
    *permissions("", "events", "list"),
)
"""Every permission that load Jobs use in their namespace; deploy/load/rbac.yaml grants them."""

SCALE_NEEDS = (
    *permissions("autoscaling", "horizontalpodautoscalers", "list"),
    *permissions("", "pods", "list"),
    *permissions("", "services", "get"),
)
"""What a scaling test reads in the service's namespace."""


def connect(context: str | None = None, kubeconfig: Path | None = None) -> client.ApiClient:
    """A client of the kubeconfig's context, or of the cluster around it; raises PlatformError."""
    return _Client(context, kubeconfig)


class _Client(client.ApiClient):  # type: ignore[misc] # the library has no types
    """A client that asks again what was turned away, and reads refused credentials again."""

    def __init__(self, context: str | None, kubeconfig: Path | None) -> None:
        self._where = (context, kubeconfig)
        super().__init__(_settings(context, kubeconfig))

    def call_api(
        self,
        method: object,
        url: object,
        header_params: Mapping[str, object] | None = None,
        *others: object,
        **named: object,
    ) -> object:
        """The answer to one request."""
        retries, broken, renewals, headers = RETRIES, False, RENEWALS, dict(header_params or {})
        while True:
            try:
                answer = super().call_api(method, url, headers, *others, **named)
                if not path_of(url).endswith("/log"):
                    answer.read()  # a log is followed for as long as it grows
            except urllib3.exceptions.ProtocolError:
                if broken or (method == "POST" and not creates_nothing(url)):
                    raise
                broken = True
                continue
            if answer.status == UNAUTHORIZED and renewals and self._renewed(headers):
                renewals -= 1
            elif turned_away(str(method), str(url), int(answer.status)) and retries.status:
                retries = retries.increment(str(method), str(url), urllib3.HTTPResponse(status=429))
                time.sleep(retries.get_backoff_time())
            else:
                return answer

    def _renewed(self, headers: dict[str, object]) -> bool:
        """Whether there is another token by now than these headers have; they have it then.

        Another thread may have read it already.
        """
        try:
            fresh = _settings(*self._where)
        except PlatformError:
            return False
        self.configuration.api_key = fresh.api_key
        self.configuration.refresh_api_key_hook = fresh.refresh_api_key_hook
        before, headers["authorization"] = (
            headers.get("authorization"),
            self.configuration.get_api_key_with_prefix("BearerToken"),
        )
        return bool(headers["authorization"] != before)


def path_of(url: object) -> str:
    """A URL without its query."""
    return str(url).partition("?")[0]


def creates_nothing(url: object) -> bool:
    """Whether a request is a question though its method is POST or PATCH."""
    return path_of(url).endswith("/selfsubjectaccessreviews") or "dryRun=All" in str(url)


def turned_away(method: str, url: str, status: int) -> bool:
    """Whether a request was refused without being carried out, and is not retried elsewhere.

    No patch of the harness names a version: where it met another change, it is made anew.
    """
    path = path_of(url)
    if creates_nothing(url):
        return status == CONFLICT or status in RETRIES.status_forcelist
    if method == "POST":
        return status == BUSY and not path.endswith("/eviction")
    return method == "PATCH" and status == CONFLICT


def _settings(context: str | None, kubeconfig: Path | None) -> client.Configuration:
    settings = client.Configuration()
    settings.retries = RETRIES
    try:
        if _inside(context, kubeconfig):
            config.load_incluster_config(client_configuration=settings)
        else:
            with _logged() as problems:
                config.load_kube_config(
                    str(kubeconfig) if kubeconfig else None,
                    context=context,
                    client_configuration=settings,
                    temp_file_path=str(process_scratch()),  # a client's key
                )
            if problems:
                raise ValueError(problems[0])  # noqa: TRY301 - told as the others are
    except Exception as problem:  # noqa: BLE001 - whatever the file and its plug-ins make of it
        wanted = f"context {context!r}" if context else "the current context"
        raise PlatformError(
            f"kubeconfig: {wanted} cannot be used: {problem}",
            "set KUBECONFIG or --kubeconfig, and name one of `kubectl config get-contexts`",
        ) from None
    return settings


@contextmanager
def _logged() -> Iterator[list[str]]:
    """The errors that are logged meanwhile: without its plug-in the client would be nobody."""
    found: list[str] = []
    handler, root = logging.Handler(logging.ERROR), logging.getLogger()
    handler.emit = lambda record: found.append(record.getMessage())  # type: ignore[method-assign]
    root.addHandler(handler)
    try:
        yield found
    finally:
        root.removeHandler(handler)


def context_names(context: str | None, kubeconfig: Path | None) -> tuple[str, ...]:
    """What the kubeconfig calls the place that `connect` would take: the context and its cluster.

    Empty within a cluster, and where the file cannot be read: `connect` says why.
    """
    if _inside(context, kubeconfig):
        return ()
    try:
        file = str(kubeconfig) if kubeconfig else None
        contexts, current = config.list_kube_config_contexts(file)
        chosen = current if context is None else next(c for c in contexts if c["name"] == context)
        return str(chosen["name"]), str(chosen["context"]["cluster"])
    except Exception:  # noqa: BLE001 - whatever the library makes of the file
        return () if context is None else (context,)


def tool_environment(context: str | None, kubeconfig: str | Path | None) -> Mapping[str, str]:
    """What leads chaostoolkit-kubernetes to the cluster that `connect` takes (`chaosk8s`).

    It prefers a kubeconfig to the cluster that it runs in, and KUBERNETES_CONTEXT to the current
    context.
    """
    file = Path(kubeconfig).resolve() if kubeconfig else None
    if _inside(context, file):
        return {"KUBECONFIG": "", "CHAOSTOOLKIT_IN_POD": "true"}
    found = {"KUBECONFIG": str(file)} if file else {}
    names = context_names(context, file)
    return {**found, "KUBERNETES_CONTEXT": names[0]} if names else found


def _inside(context: str | None, kubeconfig: Path | None) -> bool:
    token = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
    return context is None and kubeconfig is None and token.is_file()


def require(
    api: client.ApiClient,
    namespace: str,
    needs: tuple[Permission, ...],
    roles: str = "the Role in deploy/load/rbac.yaml",
) -> None:
    """Ask the API server for every permission first.

    Raises PlatformError naming all that are missing, or a namespace that is not there.
    """
    reviews = client.AuthorizationV1Api(api)
    missing = []
    with telling("permissions"):
        for group, resource, verb in needs:
            name, _, sub = resource.partition("/")
            attributes = client.V1ResourceAttributes(
                namespace=namespace,
                group=group,
                resource=name,
                subresource=sub or None,
                verb=verb,
                name=NAMED.get((group, resource, verb)),
            )
            review = client.V1SelfSubjectAccessReview(
                spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes)
            )
            answer = reviews.create_self_subject_access_review(review)
            if not answer.status.allowed:
                missing.append(f"{verb} {resource}")
    if missing:
        raise PlatformError(
            f"namespace {namespace}: this account may not {', '.join(missing)}",
            f"bind it to {roles}",
        )


ADMISSION = {
    "PodSecurity": "label the namespace pod-security.kubernetes.io/enforce=privileged: agents need "
    "the node's processes and network",
    "exceeded quota": "raise the namespace's quota, or free some of it",
    "must specify": "set what it names as requests or limits: --pods FILE, or `pods` of the"
    " catalogue's environment",
    **dict.fromkeys(
        ("per Container", "per Pod"),
        "keep to the LimitRange: --pods FILE, or `pods` of the catalogue's environment",
    ),
    "PriorityClass": "name one of kubectl get priorityclasses",
    "security context constraint": "let the agents' accounts use the constraints `privileged` and, "
    "for those without rights on nodes, `nonroot-v2`",
}
"""What else than a role keeps a pod out, by a word of the API server's, and its remedy."""


@contextmanager
def telling(what: str) -> Iterator[None]:
    """Turn what the API server and the way to it say into one PlatformError with a remedy."""
    try:
        yield
    except ApiException as problem:
        remedies = {
            401: "the credentials have expired or are wrong: log in again",
            403: "bind the account to the roles in deploy/rbac or, for load Jobs, deploy/load",
            404: "check the namespace and the name",
            409: "another run uses the same name: try again",
        }
        status, message = int(problem.status or 0), _message(problem)
        remedy = remedies.get(status, "see the message")
        for word, other in ADMISSION.items():
            remedy = other if word in message else remedy
        raise PlatformError(
            f"{what}: the API server refused ({status}): {message}", remedy
        ) from None
    except (urllib3.exceptions.HTTPError, OSError) as problem:
        reason = " ".join(str(getattr(problem, "reason", None) or problem).split())
        raise PlatformError(
            f"{what}: the API server does not answer: {reason}", "check the cluster and the VPN"
        ) from None


def allowed(what: str, call: Callable[[], T]) -> T | None:
    """The answer; None where this account may not ask, or the cluster knows no such kind."""
    with telling(what):
        try:
            return call()
        except ApiException as problem:
            if problem.status == FORBIDDEN or is_gone(problem):
                return None
            raise


def is_gone(problem: ApiException) -> bool:
    """Whether what was asked for is not there; 410 says that a list's version has expired."""
    return int(problem.status or 0) == NOT_FOUND


def quietly(call: Callable[[], object]) -> Exception | None:
    """Carry out a step of a clean-up; what went wrong, but for what was gone already."""
    try:
        call()
    except ApiException as problem:
        return None if is_gone(problem) else problem
    except (urllib3.exceptions.HTTPError, OSError) as problem:
        return problem
    return None


def namespace_exists(api: client.ApiClient, name: str) -> bool | None:
    """Whether the namespace is there; None where this account may not ask."""
    try:
        client.CoreV1Api(api).read_namespace(name)
    except ApiException as problem:
        return False if is_gone(problem) else None
    return True


def _message(problem: ApiException) -> str:
    try:
        return str(json.loads(problem.body or "{}").get("message") or problem.reason)
    except (ValueError, AttributeError):
        return str(problem.reason)


def check_context(api: client.ApiClient, namespace: str) -> None:
    """Raise UsageError for a namespace that does not exist, PlatformError for no API server."""
    with telling("the API server"):
        found = namespace_exists(api, namespace)
    if found is False:
        raise UsageError(
            f"there is no namespace {namespace!r}", f"kubectl create namespace {namespace}"
        )
