"""What an autoscaler and its pods do, read from the API server once a second."""

import queue
import time
from dataclasses import dataclass
from typing import Self

import urllib3
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.utils.quantity import parse_quantity

from harness.errors import PlatformError
from harness.load.driver import LoadDriver
from harness.messages import LoadMessage, Scaling
from harness.periodic import Periodic
from harness.platform.kubernetes.access import telling

PERIOD_S = 1.0
READY_LIMIT_S = 60.0
"""How long a new autoscaler may take to have its first metrics."""

USUAL_WINDOW_S = 300
"""Kubernetes' own stabilization before it scales down."""


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """A HorizontalPodAutoscaler as the service's team set it; `selector` finds its pods."""

    name: str
    namespace: str
    least: int
    most: int
    down_window_s: int
    targets: tuple[str, ...]
    selector: str


def find_autoscaler(
    api: client.ApiClient, namespace: str, service: str, name: str | None = None
) -> Autoscaler:
    """The HPA of that name, or the service's; PlatformError for none, several, or no pods."""
    with telling(f"autoscaler of {service} in {namespace}"):
        found = client.AutoscalingV2Api(api).list_namespaced_horizontal_pod_autoscaler(namespace)
        reached = client.CoreV1Api(api).read_namespaced_service(service, namespace)
    known = ", ".join(each.metadata.name for each in found.items) or "none"
    if name is not None:
        fitting = [each for each in found.items if each.metadata.name == name]
    else:
        fitting = [each for each in found.items if each.spec.scale_target_ref.name == service]
    if len(fitting) != 1:
        wanted = name or f"that scales {service}"
        raise PlatformError(
            f"namespace {namespace} has {len(fitting)} HorizontalPodAutoscalers {wanted}",
            f"name one with --hpa; there are: {known}",
        )
    if not reached.spec.selector:
        raise PlatformError(
            f"Service {service} in {namespace} selects no pods", "give it a selector"
        )
    hpa = fitting[0]
    down = hpa.spec.behavior.scale_down if hpa.spec.behavior else None
    window = down.stabilization_window_seconds if down else None
    return Autoscaler(
        name=hpa.metadata.name,
        namespace=namespace,
        least=hpa.spec.min_replicas if hpa.spec.min_replicas is not None else 1,
        most=hpa.spec.max_replicas,
        down_window_s=USUAL_WINDOW_S if window is None else window,
        targets=tuple(_target_text(metric) for metric in hpa.spec.metrics or ()),
        selector=",".join(f"{key}={value}" for key, value in reached.spec.selector.items()),
    )


def await_metrics(api: client.ApiClient, scaler: Autoscaler) -> None:
    """Wait a minute at most until the autoscaler has a metric; PlatformError with its reason."""
    until = time.monotonic() + READY_LIMIT_S
    while True:
        with telling(f"autoscaler {scaler.name}"):
            seen = look(api, scaler)
        if seen["active"] is not False and seen["pressure"] is not None:
            return
        if time.monotonic() > until:
            raise PlatformError(
                f"autoscaler {scaler.name} cannot scale: {seen['why'] or 'it has no metric'}",
                "install metrics-server, or correct its metrics",
            )
        time.sleep(PERIOD_S)


def look(api: client.ApiClient, scaler: Autoscaler) -> Scaling:
    """A `scaling` message: replicas and metrics now; None is unknown.

    `pressure` is the highest ratio of a metric to its target. `usage` is the sum over the pods of
    the metric with a value per pod, `share` what one pod has of it at the target.
    """
    found = client.AutoscalingV2Api(api).list_namespaced_horizontal_pod_autoscaler(
        scaler.namespace, field_selector=f"metadata.name={scaler.name}"
    )
    pods = client.CoreV1Api(api).list_namespaced_pod(
        scaler.namespace, label_selector=scaler.selector
    )
    alive = [pod for pod in pods.items if not pod.metadata.deletion_timestamp]
    message: Scaling = {
        "type": "scaling",
        "created": len(alive),
        "ready": sum(_is_ready(pod) for pod in alive),
        "desired": None,
        "pressure": None,
        "usage": None,
        "share": None,
        "active": None,
        "limited": None,
        "why": "",
    }
    if not found.items:
        message["active"], message["why"] = False, "the autoscaler is gone"
        return message
    hpa = found.items[0]
    replicas = hpa.status.current_replicas
    message["desired"] = hpa.status.desired_replicas
    for condition in hpa.status.conditions or ():
        if condition.type == "ScalingActive":
            message["active"] = condition.status == "True"
            message["why"] = "" if message["active"] else f"{condition.reason}: {condition.message}"
        if condition.type == "ScalingLimited":
            message["limited"] = condition.status == "True"
    metrics = _metrics(hpa, replicas)
    message["pressure"], message["usage"], message["share"] = (
        metrics["pressure"],
        metrics["usage"],
        metrics["share"],
    )
    return message


def _is_ready(pod: client.V1Pod) -> bool:
    conditions = pod.status.conditions or ()
    return any(each.type == "Ready" and each.status == "True" for each in conditions)


def _metrics(
    hpa: client.V2HorizontalPodAutoscaler, replicas: int | None
) -> dict[str, float | None]:
    targets = {_key(metric): metric for metric in hpa.spec.metrics or ()}
    found: dict[str, float | None] = {"pressure": None, "usage": None, "share": None}
    for metric in hpa.status.current_metrics or ():
        if metric.type not in {"Resource", "Pods", "External", "Object", "ContainerResource"}:
            continue  # the API server's placeholder for "none yet"
        wanted = targets.get(_key(metric))
        if wanted is None:
            continue
        current, target = _part(metric).current, _part(wanted).target
        per_pod = _number(current.average_value)
        if target.average_utilization and current.average_utilization is not None:
            ratio = current.average_utilization / target.average_utilization
        elif (aim := _number(target.average_value)) and per_pod is not None:
            ratio = per_pod / aim
        elif (aim := _number(target.value)) and (now := _number(current.value)) is not None:
            ratio = now / aim
        else:
            continue
        if found["pressure"] is None or ratio > found["pressure"]:
            found["pressure"] = round(ratio, 4)
            found |= {"usage": None, "share": None}
            if per_pod is not None and replicas is not None and ratio > 0:
                found |= {"usage": per_pod * replicas, "share": per_pod / ratio}
    return found


def _part(metric: client.V2MetricSpec) -> client.V2ResourceMetricSource:
    names = {"Resource": "resource", "ContainerResource": "container_resource"}
    return getattr(metric, names.get(metric.type, metric.type.lower()))


def _key(metric: client.V2MetricSpec) -> str:
    part = _part(metric)
    name = getattr(part, "name", None) or part.metric.name
    return f"{metric.type} {name}"


def _target_text(metric: client.V2MetricSpec) -> str:
    target = _part(metric).target
    if target.average_utilization:
        return f"{_key(metric)} {target.average_utilization} %"
    return f"{_key(metric)} {target.average_value or target.value}"


def _number(quantity: str | None) -> float | None:
    return None if quantity is None else float(parse_quantity(quantity))


class Observed:
    """A load with `scaling` messages between its own; has the methods of a LoadDriver."""

    def __init__(self, load: LoadDriver, api: client.ApiClient, scaler: Autoscaler) -> None:
        self._load = load
        self._api = api
        self._scaler = scaler
        self._told = False
        self._found: queue.Queue[LoadMessage] = queue.Queue()
        self._periodic = Periodic(self._watch, PERIOD_S, 2.0)

    @property
    def ended(self) -> bool:
        """Whether the load has nothing more to say."""
        return self._load.ended

    def __enter__(self) -> Self:
        self._load.__enter__()
        self._periodic.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._load.__exit__(*exception)
        self._periodic.__exit__(*exception)

    def poll(self, timeout_s: float) -> list[LoadMessage]:
        """The load's messages and what was seen of the autoscaler."""
        found = list(self._load.poll(timeout_s))
        while not self._found.empty():
            found.append(self._found.get_nowait())
        return found

    def stop(self) -> None:
        """As the load's."""
        self._load.stop()

    def kill(self) -> None:
        """As the load's."""
        self._load.kill()

    def _watch(self) -> None:
        try:
            self._found.put(look(self._api, self._scaler))
            self._told = False
        except (ApiException, urllib3.exceptions.HTTPError, OSError) as problem:
            if not self._told:
                reason = str(getattr(problem, "reason", None) or type(problem).__name__)
                self._found.put({"type": "load_api", "ok": False, "reason": reason})
            self._told = True
