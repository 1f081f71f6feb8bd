"""The YAML documents of `services/<name>.yaml`: OpenSLO v1 and our own `Target`.

OpenSLO (https://github.com/OpenSLO/OpenSLO) holds what must hold; `Target` holds what the
harness needs to find, deploy and drive the service. A field that is in neither is refused: a
slip of the keyboard must not become a promise that nobody checks.

They are mappings as YAML has them, checked by `harness.typed`: importing pydantic and making its
models would take longer than reading all of the catalogue.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from harness.catalog.model import TIMES, Indicator, Objective, RegionRole, Tier
from harness.typed import Rule, Whole

QUANTILE = "harness.codai/quantile"
"""Annotation of an indicator that is a time: which quantile it promises."""

ENDPOINTS = "harness.codai/endpoints"
"""Annotation of an indicator: the endpoints it is about, separated by commas; patterns allowed."""

WINDOW_S = {"m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0}
"""Units of a time slice; months and longer are no slice."""


def _like(pattern: str, wanted: str, most: int = 1024) -> Rule:
    """A text that the whole pattern fits, of so many characters at most."""
    return Rule(lambda text: len(text) <= most and re.fullmatch(pattern, text) is not None, wanted)


def _whole(least: int, most: float = math.inf) -> Rule:
    upper = "" if math.isinf(most) else f" to {most}"
    return Rule(lambda number: least <= number <= most, f"a whole number from {least}{upper}")


MOST_CPU = 1024
SOME = Rule(bool, "one or more")
ONE = Rule(lambda items: len(items) == 1, "a list of one")
GREATEST = 1.7e308
"""What a float can hold; YAML's whole numbers have no end."""

Positive = Annotated[float, Rule(lambda x: 0 < x <= GREATEST, "a finite number above 0")]
Share = Annotated[float, Rule(lambda x: 0 < x < 1, "a number between 0 and 1")]
Name = Annotated[str, _like(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", "a name of a-z, 0-9 and dashes", 63)]
Path = Annotated[
    str, _like(r"/([^\s?#{}]|\{[a-zA-Z_][a-zA-Z0-9_]*\})*", "a path such as /items/{id}")
]
Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
GateRule = Annotated[
    str,
    _like(
        r".+:(\*|p50|p95|p99|error_ratio|throughput|presence)=.+",
        "a rule such as pay:p95=critical,10%",
    ),
]
Window = Annotated[str, _like(r"\d+[mhdwMQY]", "a period such as 1m or 28d")]


class Metadata(TypedDict):
    """The `metadata` of every document."""

    name: Name
    displayName: NotRequired[str]
    labels: NotRequired[dict[str, str | list[str]]]
    annotations: NotRequired[dict[str, str]]


class ServiceSpec(TypedDict):
    """`spec` of an OpenSLO Service."""

    description: NotRequired[str]


class ServiceDocument(TypedDict):
    """An OpenSLO Service."""

    apiVersion: Literal["openslo/v1"]
    kind: Literal["Service"]
    metadata: Metadata
    spec: ServiceSpec


class MetricSource(TypedDict):
    """A query, in the words of the system named by `type`."""

    metricSourceRef: NotRequired[str | None]
    type: NotRequired[str | None]
    spec: dict[str, object]


class Metric(TypedDict):
    """One metric of an indicator."""

    metricSource: MetricSource


class RatioMetric(TypedDict):
    """Good or bad events in all events."""

    counter: bool
    good: NotRequired[Metric | None]
    bad: NotRequired[Metric | None]
    total: Metric


def _one_of(spec: Mapping[str, object], first: str, second: str) -> str | None:
    """What is wrong unless exactly one of two fields is there."""
    alone = (spec.get(first) is None) != (spec.get(second) is None)
    return None if alone else f"state either {first} or {second}, not both"


class IndicatorMetadata(TypedDict):
    """Which of the harness's indicators an SLO's inline indicator is."""

    name: Indicator
    displayName: NotRequired[str]
    labels: NotRequired[dict[str, str | list[str]]]
    annotations: NotRequired[dict[str, str]]


class IndicatorSpec(TypedDict):
    """A threshold on one metric, or a ratio of two."""

    description: NotRequired[str]
    thresholdMetric: NotRequired[Metric | None]
    ratioMetric: NotRequired[
        Annotated[RatioMetric, Whole(lambda spec: _one_of(spec, "good", "bad"))] | None
    ]


class InlineIndicator(TypedDict):
    """The inline indicator of an SLO."""

    metadata: IndicatorMetadata
    spec: Annotated[
        IndicatorSpec, Whole(lambda spec: _one_of(spec, "thresholdMetric", "ratioMetric"))
    ]


class TimeWindow(TypedDict):
    """The period that an error budget is for."""

    duration: Window
    isRolling: bool


class ObjectiveSpec(TypedDict):
    """One objective of an SLO."""

    displayName: NotRequired[str]
    op: NotRequired[Literal["lt", "lte", "gt", "gte"] | None]
    value: NotRequired[Positive | None]
    target: Share
    timeSliceTarget: NotRequired[Share | None]
    timeSliceWindow: NotRequired[Window | None]


class SloSpec(TypedDict):
    """`spec` of an OpenSLO SLO."""

    description: NotRequired[str]
    service: Name
    indicator: InlineIndicator
    timeWindow: Annotated[list[TimeWindow], ONE]
    budgetingMethod: Literal["Occurrences", "Timeslices"]
    objectives: Annotated[list[ObjectiveSpec], ONE]


def _at_odds(spec: SloSpec) -> str | None:
    """What the fields of an SLO say against each other."""
    objective, indicator = spec["objectives"][0], spec["indicator"]["metadata"]
    name, annotations = indicator["name"], indicator.get("annotations", {})
    op, value = objective.get("op"), objective.get("value")
    ops = {"throughput": ("gt", "gte"), **dict.fromkeys(TIMES, ("lt", "lte"))}.get(name)
    if ops is None and (op, value) != (None, None):
        return f"{name} is a ratio: its target says all; remove op, value"
    if ops is not None and (op not in ops or value is None):
        return f"objectives.0 of {name} needs op {ops[0]} and a value"
    window = objective.get("timeSliceWindow")
    if spec["budgetingMethod"] == "Timeslices" and None in (
        objective.get("timeSliceTarget"),
        window,
    ):
        return "Timeslices need objectives.0.timeSliceTarget and timeSliceWindow"
    if window is not None and (window[-1] not in WINDOW_S or int(window[:-1]) == 0):
        return f"objectives.0.timeSliceWindow {window} is no slice, e.g. 1m or 1h"
    return _annotated_wrongly(name, annotations)


def _annotated_wrongly(indicator: Indicator, annotations: Mapping[str, str]) -> str | None:
    if ENDPOINTS in annotations and not names(annotations[ENDPOINTS]):
        return f"indicator.metadata.annotations: {ENDPOINTS} names no endpoint"
    if indicator in TIMES and not _is_share(annotations.get(QUANTILE)):
        return f'indicator.metadata.annotations needs {QUANTILE}, as a string such as "0.95"'
    return None


class SloDocument(TypedDict):
    """An OpenSLO SLO."""

    apiVersion: Literal["openslo/v1"]
    kind: Literal["SLO"]
    metadata: Metadata
    spec: Annotated[SloSpec, Whole(_at_odds)]


class RouteSpec(TypedDict):
    """One path of the service's API, named as an OpenAPI operation would be."""

    name: Annotated[str, _like(r"[a-z][A-Za-z0-9]*", "a name such as listItems", 63)]
    path: Path
    methods: Annotated[list[Method], SOME]


class EnvironmentSpec(TypedDict):
    """A place where the service runs; `pods` are the fields of `PodSettings`."""

    name: Name
    namespace: Name
    baseUrl: Annotated[
        str, _like(r"https?://[^\s/?#@]+(/[^\s?#]*)?", "a URL http://host:port", 1 << 20)
    ]
    production: NotRequired[bool]
    pods: NotRequired[dict[str, object]]


class Resources(TypedDict):
    """What one replica is given."""

    cpu: Annotated[
        float, Rule(lambda cores: 0 < cores <= MOST_CPU, f"a number above 0, at most {MOST_CPU}")
    ]
    memory: Annotated[str, _like(r"[1-9]\d*(Ki|Mi|Gi)", "a size such as 512Mi")]


class RateLimitSpec(TypedDict):
    """What the gateway lets each client do."""

    requests: Annotated[int, _whole(1)]
    window: Annotated[str, _like(r"[1-9]\d{0,5}[smh]", "a period such as 60s or 1m")]
    header: NotRequired[Annotated[str, _like(r"[A-Za-z0-9-]+", "a header's name", 100)]]


class TargetSpec(TypedDict):
    """What the harness needs to find, deploy and drive a service; `regions` by priority."""

    service: Name
    tier: Tier
    coreApplication: bool
    port: Annotated[int, _whole(1, 65_535)]
    replicas: Annotated[int, _whole(1, 1000)]
    resources: Resources
    healthPath: Path
    primaryMetric: Literal["p50", "p95", "p99", "error_ratio", "throughput"]
    gate: NotRequired[list[GateRule]]
    profiles: NotRequired[list[Name]]
    dependsOn: NotRequired[list[Name]]
    degradesWithout: NotRequired[list[Name]]
    rateLimit: NotRequired[RateLimitSpec | None]
    regions: Annotated[dict[Name, RegionRole], SOME]
    environments: list[EnvironmentSpec]
    routes: Annotated[list[RouteSpec], SOME]


def _contradicted(spec: TargetSpec) -> str | None:
    """What the fields of a Target say against each other."""
    if next(iter(spec["regions"].values())) != "active":
        return "the first of regions must be active: it is the one that is driven"
    depends, degrades = spec.get("dependsOn", []), spec.get("degradesWithout", [])
    routes = spec["routes"]
    lists: list[tuple[str, Sequence[str]]] = [
        ("environments", [item["name"] for item in spec["environments"]]),
        ("profiles", spec.get("profiles", [])),
        ("dependsOn", depends),
        ("degradesWithout", degrades),
        ("routes", [item["name"] for item in routes]),
        ("routes", [item["path"] for item in routes]),
        *((f"routes.{number}.methods", item["methods"]) for number, item in enumerate(routes)),
    ]
    for field, values in lists:
        if len(set(values)) < len(values):
            twin = min(value for value in values if values.count(value) > 1)
            return f"{field} holds {twin!r} twice; keep one"
    if stray := set(degrades) - set(depends):
        return f"degradesWithout names {min(stray)!r}, which dependsOn does not"
    return None


class TargetDocument(TypedDict):
    """The harness's own document."""

    apiVersion: Literal["harness.codai/v1"]
    kind: Literal["Target"]
    metadata: Metadata
    spec: Annotated[TargetSpec, Whole(_contradicted)]


Document = ServiceDocument | SloDocument | TargetDocument

DOCUMENTS: Mapping[tuple[str, str], Any] = {
    ("openslo/v1", "Service"): ServiceDocument,
    ("openslo/v1", "SLO"): SloDocument,
    ("harness.codai/v1", "Target"): TargetDocument,
}


def objective_of(document: SloDocument) -> Objective:
    """The promise of an SLO in the harness's own words."""
    objective = document["spec"]["objectives"][0]
    indicator = document["spec"]["indicator"]["metadata"]
    name, annotations = indicator["name"], indicator.get("annotations", {})
    value, target = objective.get("value"), objective["target"]
    threshold = target if value is None else value
    if name == "error_ratio":
        threshold = round(1 - target, 12)
    quantile = annotations.get(QUANTILE) if name in TIMES else None
    return Objective(
        name=objective.get("displayName") or document["metadata"]["name"],
        indicator=name,
        threshold=float(threshold),
        quantile=None if quantile is None else float(quantile),
        endpoints=names(annotations.get(ENDPOINTS, "")),
        window_s=slice_s(objective.get("timeSliceWindow")),
    )


def names(text: str) -> tuple[str, ...]:
    """The names in a list separated by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def slice_s(window: str | None) -> float | None:
    """The seconds of a time slice such as `1m`."""
    return None if window is None else int(window[:-1]) * WINDOW_S[window[-1]]


def _is_share(text: str | None) -> bool:
    try:
        return 0 < float(text or "nan") < 1
    except ValueError:
        return False
