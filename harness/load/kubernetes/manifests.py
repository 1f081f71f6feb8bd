"""The objects of one run, as documents: pure functions of the plan and the options.

All but the master's Job belong to it (ownerReferences), so that deleting it, or its TTL, removes
them. The pods run as nobody, without any privilege, with a read-only root: they fit the
`restricted` Pod Security Standard.
"""

import ast
import base64
import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import UsageError
from harness.load.kubernetes.options import JobOptions
from harness.load.plan import LoadPlan, plan_json
from harness.platform.kubernetes.api_types import Manifest

RUN, ROLE = "codai-harness/run", "codai-harness/role"
SERVICE = "app.kubernetes.io/name"
REGION, ZONE, HOST = (
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "kubernetes.io/hostname",
)
PORT = 5557
"""Locust's own port for workers."""

PLAN_PATH, SCENARIO_PATH, TLS_PATH = "/run/load/plan", "/run/load/scenario", "/run/load/tls"
TLS_FILES: Mapping[str, str] = {
    "ca_file": "ca.pem", "cert_file": "cert.pem", "key_file": "key.pem"
}  # fmt: skip
"""Fields of a Target that name files, and what each is called in the pods."""

HEARTBEAT, HEARTBEAT_PATH, HEARTBEAT_FILE = "codai-harness/heartbeat", "/run/load/owner", "beat"
"""An annotation of the master's pod that its owner renews, and where the pod sees it."""

BEAT_S, STALE_S = 5.0, 30
"""How often it is renewed, and after how long without a change the load ends by itself."""

CONTAINER = "load"
NOBODY = 65534
MOST_BYTES = 1_000_000
"""Of a ConfigMap's or Secret's content: the API server takes 1 MiB with everything around it."""

START_LIMIT_S = 240
REPORT_LIMIT_S = 60
"""What a Job may take beyond its profile before the cluster ends it: to be placed and to report."""


def labels(run: str, role: str | None = None) -> dict[str, str]:
    """The labels of everything of one run, or of the pods in one role of it."""
    common = {
        SERVICE: "codai-harness-load",
        "app.kubernetes.io/part-of": "codai-harness",
        "app.kubernetes.io/managed-by": "codai-harness",
        RUN: run,
    }
    return common if role is None else {**common, ROLE: role}


def master_job(plan: LoadPlan, options: JobOptions, run: str, env: Mapping[str, str]) -> Manifest:
    """The Job that holds the schedule, assembles the reports and writes the stream to its log.

    With one worker it is the worker as well.
    """
    beat = f"{HEARTBEAT_PATH}/{HEARTBEAT_FILE}"
    arguments = ["--serve", str(PORT), "--heartbeat", beat, "--stale", str(STALE_S)]
    # By way of the kubelet, which rewrites the file within a second or two of a change of the pod:
    # so the pod needs no token, and no way to the API server.
    field = {"fieldPath": f"metadata.annotations['{HEARTBEAT}']"}
    item = {"path": HEARTBEAT_FILE, "fieldRef": field}
    volume: Manifest = {"name": "heartbeat", "downwardAPI": {"items": [item]}}
    mount: Manifest = {"name": "heartbeat", "mountPath": HEARTBEAT_PATH, "readOnly": True}
    pod = _pod(plan, options, run, arguments, env, [(volume, mount)])
    return _job(plan, options, run, "master", pod, {"backoffLimit": 0})


def worker_job(
    plan: LoadPlan, options: JobOptions, run: str, env: Mapping[str, str], master: str
) -> Manifest:
    """The Job of all workers, one pod each; none is replaced when it is lost.

    A replacement would come too late for its shard of the schedule: the run is invalid anyway, and
    the others shall tell what they saw.
    """
    arguments = ["--master-host", master, "--master-port", str(PORT)]
    pods = {
        "completionMode": "Indexed",
        "completions": plan.workers,
        "parallelism": plan.workers,
        "backoffLimitPerIndex": 0,
        "maxFailedIndexes": plan.workers,
    }
    return _job(plan, options, run, "worker", _pod(plan, options, run, arguments, env), pods)


def plan_secret(plan: LoadPlan, run: str) -> Manifest:
    """The plan: a Secret, because a header of the scenario may hold a key."""
    source = f"{SCENARIO_PATH}/{Path(plan.traffic.source).name}"
    mounted = {name: f"{TLS_PATH}/{TLS_FILES[name]}" for name in _tls_files(plan)}
    target = dataclasses.replace(
        plan.target,
        exec_prefix=(),
        bind=None,
        ca_file=mounted.get("ca_file"),
        cert_file=mounted.get("cert_file"),
        key_file=mounted.get("key_file"),
    )
    others = tuple(dataclasses.replace(each, source=source) for each in plan.traffic.others)
    traffic = dataclasses.replace(plan.traffic, source=source, others=others)
    shipped = dataclasses.replace(plan, target=target, traffic=traffic)
    content = plan_json(shipped)
    _check_size("the load plan", len(content), "use fewer or smaller feeds, or a shorter replay")
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": _name(run, "plan"), "labels": labels(run)},
        "immutable": True,
        "data": {"plan.json": base64.b64encode(content).decode()},
    }


def _tls_files(plan: LoadPlan) -> dict[str, Path]:
    """The fields of the target that name a file."""
    named = {name: getattr(plan.target, name) for name in TLS_FILES}
    return {name: Path(path) for name, path in named.items() if path is not None}


def check_files(connect: Mapping[str, object]) -> None:
    """Raise UsageError for options that pods cannot carry out, and for files that are not there."""
    if connect.get("unix_socket"):
        raise UsageError(
            "--unix-socket names a file of this machine, and the load comes from pods",
            "give --target URL",
        )
    for name in TLS_FILES:
        if (path := connect.get(name)) is not None:
            _content(Path(str(path)))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "name a readable PEM file") from None


def tls_secret(plan: LoadPlan, run: str) -> Manifest | None:
    """The files that TLS connections are made with; None where there are none."""
    files = {TLS_FILES[name]: _content(path) for name, path in _tls_files(plan).items()}
    if not files:
        return None
    _check_size("what TLS needs", sum(map(len, files.values())), "name smaller PEM files")
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": _name(run, "tls"), "labels": labels(run)},
        "immutable": True,
        "data": {name: base64.b64encode(text).decode() for name, text in files.items()},
    }


def scenario_map(plan: LoadPlan, run: str) -> Manifest:
    """The scenario's file and those beside it that it imports."""
    files = scenario_files(Path(plan.traffic.source))
    _check_size(
        plan.traffic.source, sum(len(text) for text in files.values()), "import fewer files"
    )
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": _name(run, "scenario"), "labels": labels(run)},
        "immutable": True,
        "data": files,
    }


def scenario_files(source: Path) -> dict[str, str]:
    """File name -> text of a scenario and of the modules beside it that it imports.

    Raises UsageError for a file that cannot be read.
    """
    found: dict[str, str] = {}
    waiting = [source]
    while waiting:
        path = waiting.pop()
        if path.name in found:
            continue
        try:
            found[path.name] = path.read_text(encoding="utf-8")
            tree = ast.parse(found[path.name])
        except (OSError, ValueError, SyntaxError) as problem:
            raise UsageError(f"{path}: {problem}", "name a readable scenario") from None
        for node in ast.walk(tree):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [each.name for each in node.names] if isinstance(node, ast.Import) else []
            beside = (source.parent / f"{name.partition('.')[0]}.py" for name in names if name)
            waiting += [each for each in beside if each.is_file()]
    return found


def owned(document: Manifest, job: str, uid: str) -> Manifest:
    """The document with the master's Job as its owner."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": uid}
    metadata = document["metadata"]
    if not isinstance(metadata, dict):
        raise TypeError("an object without metadata")
    return {**document, "metadata": {**metadata, "ownerReferences": [owner]}}


def drain_s(plan: LoadPlan) -> int:
    """How long a pod that is told to stop may drain and report, in seconds."""
    return math.ceil(plan.drain_s) + 5


def limit_s(plan: LoadPlan) -> int:
    """Seconds after which the cluster ends the Jobs, whatever became of the CLI."""
    return math.ceil(plan.profile.duration_s + plan.drain_s) + START_LIMIT_S + REPORT_LIMIT_S


def _name(run: str, what: str) -> str:
    return f"harness-load-{run}-{what}"


def _check_size(what: str, size: int, remedy: str) -> None:
    if size > MOST_BYTES:
        raise UsageError(f"{what} has {size:,} bytes; a cluster takes {MOST_BYTES:,}", remedy)


def _job(
    plan: LoadPlan, options: JobOptions, run: str, role: str, pod: Manifest, pods: Manifest
) -> Manifest:
    """A Job of such a pod; `pods` say how many there are, and what becomes of one that fails."""
    known = {**options.pods.labels, **labels(run, role)}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": _name(run, role), "labels": known},
        "spec": {
            **pods,
            "activeDeadlineSeconds": limit_s(plan),
            "ttlSecondsAfterFinished": options.ttl_s,
            "template": {"metadata": {"labels": known}, "spec": pod},
        },
    }


def _pod(
    plan: LoadPlan,
    options: JobOptions,
    run: str,
    arguments: list[str],
    env: Mapping[str, str],
    mounted: Sequence[tuple[Manifest, Manifest]] = (),
) -> Manifest:
    """The one container; `mounted` are volumes besides the usual ones, with their mounts."""
    if _tls_files(plan):
        volume: Manifest = {"name": "tls", "secret": {"secretName": _name(run, "tls")}}
        mount: Manifest = {"name": "tls", "mountPath": TLS_PATH, "readOnly": True}
        mounted = [*mounted, (volume, mount)]
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": drain_s(plan),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": NOBODY,
            "runAsGroup": NOBODY,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **options.pods.placement,
        "affinity": _affinity(plan, options, run),
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": key,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {RUN: run}},
            }
            for key in (HOST, ZONE)
        ],
        "volumes": [
            {"name": "plan", "secret": {"secretName": _name(run, "plan")}},
            {"name": "scenario", "configMap": {"name": _name(run, "scenario")}},
            {"name": "scratch", "emptyDir": {"sizeLimit": "64Mi"}},
            *(volume for volume, _ in mounted),
        ],
        "containers": [
            {
                "name": CONTAINER,
                "image": options.image,
                "imagePullPolicy": "IfNotPresent",
                "command": ["python", "-m", "harness.load", f"{PLAN_PATH}/plan.json", *arguments],
                "env": [
                    {"name": "HOME", "value": "/tmp"},  # noqa: S108 - the container's own
                    *({"name": name, "value": value} for name, value in env.items()),
                ],
                "resources": options.pods.resources(
                    {"cpu": options.cpu, "memory": options.memory}, {"memory": options.memory}
                ),
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [
                    {"name": "plan", "mountPath": PLAN_PATH, "readOnly": True},
                    {"name": "scenario", "mountPath": SCENARIO_PATH, "readOnly": True},
                    {"name": "scratch", "mountPath": "/tmp"},  # noqa: S108
                    *(mount for _, mount in mounted),
                ],
            }
        ],
    }


def _affinity(plan: LoadPlan, options: JobOptions, run: str) -> Manifest:
    """Not in the regions to be left alone; rather not beside each other, nor beside the service.

    The weights say which matters more; the spread constraints alone would weigh no more than the
    service's pods.
    """
    apart = {"topologyKey": HOST, "labelSelector": {"matchLabels": {RUN: run}}}
    beside = {
        "topologyKey": HOST,
        "namespaceSelector": {},
        "labelSelector": {"matchLabels": {SERVICE: plan.target.service}},
    }
    found: Manifest = {
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 100, "podAffinityTerm": apart},
                {"weight": 20, "podAffinityTerm": beside},
            ]
        }
    }
    if options.away_from:
        away = {"key": REGION, "operator": "NotIn", "values": list(options.away_from)}
        terms = {"nodeSelectorTerms": [{"matchExpressions": [away]}]}
        found["nodeAffinity"] = {"requiredDuringSchedulingIgnoredDuringExecution": terms}
    return found
