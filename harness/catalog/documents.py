"""The YAML documents of `services/<name>.yaml`: OpenSLO v1 and our own `Target`.

OpenSLO (https://github.com/OpenSLO/OpenSLO) holds what must hold; `Target` holds what the
harness needs to find, deploy and drive the service. A field that is in neither is refused: a
slip of the keyboard must not become a promise that nobody checks.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, model_validator

from harness.catalog.model import TIMES, Indicator, Objective, RegionRole, Tier
from harness.catalog.pods import NONE, PodSettings

QUANTILE = "harness.codai/quantile"
"""Annotation of an indicator that is a time: which quantile it promises."""

ENDPOINTS = "harness.codai/endpoints"
"""Annotation of an indicator: the endpoints it is about, separated by commas; patterns allowed."""

WINDOW_S = {"m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0}
"""Units of a time slice; months and longer are no slice."""

Finite = Annotated[StrictFloat, Field(allow_inf_nan=False)]
Share = Annotated[Finite, Field(gt=0, lt=1)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=63)]
Path = Annotated[str, Field(pattern=r"^/([^\s?#{}]|\{[a-zA-Z_][a-zA-Z0-9_]*\})*$", max_length=1024)]
Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
GateRule = Annotated[
    str, Field(pattern=r"^.+:(\*|p50|p95|p99|error_ratio|throughput|presence)=.+$", max_length=1024)
]
Window = Annotated[str, Field(pattern=r"^\d+[mhdwMQY]$")]


class _Strict(BaseModel):
    # Built when first used: of the parts of a document only the whole ever is.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


class Metadata(_Strict):
    """The `metadata` of every document."""

    name: Name
    displayName: str = ""  # noqa: N815 - the format's spelling, here and below
    labels: dict[str, str | list[str]] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class ServiceSpec(_Strict):
    """`spec` of an OpenSLO Service."""

    description: str = ""


class ServiceDocument(_Strict):
    """An OpenSLO Service."""

    apiVersion: Literal["openslo/v1"]  # noqa: N815
    kind: Literal["Service"]
    metadata: Metadata
    spec: ServiceSpec


class MetricSource(_Strict):
    """A query, in the words of the system named by `type`."""

    metricSourceRef: str | None = None  # noqa: N815
    type: str | None = None
    spec: dict[str, object]


class Metric(_Strict):
    """One metric of an indicator."""

    metricSource: MetricSource  # noqa: N815


class RatioMetric(_Strict):
    """Good or bad events in all events."""

    counter: bool
    good: Metric | None = None
    bad: Metric | None = None
    total: Metric

    @model_validator(mode="after")
    def _one_side(self) -> Self:
        if (self.good is None) == (self.bad is None):
            raise ValueError("state either good or bad, not both")
        return self


class IndicatorMetadata(Metadata):
    """Which of the harness's indicators an SLO's inline indicator is."""

    name: Indicator


class IndicatorSpec(_Strict):
    """A threshold on one metric, or a ratio of two."""

    description: str = ""
    thresholdMetric: Metric | None = None  # noqa: N815
    ratioMetric: RatioMetric | None = None  # noqa: N815

    @model_validator(mode="after")
    def _one_metric(self) -> Self:
        if (self.thresholdMetric is None) == (self.ratioMetric is None):
            raise ValueError("state either thresholdMetric or ratioMetric, not both")
        return self


class InlineIndicator(_Strict):
    """The inline indicator of an SLO."""

    metadata: IndicatorMetadata
    spec: IndicatorSpec


class TimeWindow(_Strict):
    """The period that an error budget is for."""

    duration: Window
    isRolling: bool  # noqa: N815


class ObjectiveSpec(_Strict):
    """One objective of an SLO."""

    displayName: str = ""  # noqa: N815
    op: Literal["lt", "lte", "gt", "gte"] | None = None
    value: Annotated[Finite, Field(gt=0)] | None = None
    target: Share
    timeSliceTarget: Share | None = None  # noqa: N815
    timeSliceWindow: Window | None = None  # noqa: N815


class SloSpec(_Strict):
    """`spec` of an OpenSLO SLO."""

    description: str = ""
    service: Name
    indicator: InlineIndicator
    timeWindow: Annotated[list[TimeWindow], Field(min_length=1, max_length=1)]  # noqa: N815
    budgetingMethod: Literal["Occurrences", "Timeslices"]  # noqa: N815
    objectives: Annotated[list[ObjectiveSpec], Field(min_length=1, max_length=1)]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        objective, indicator = self.objectives[0], self.indicator.metadata
        ops = {"throughput": ("gt", "gte"), **dict.fromkeys(TIMES, ("lt", "lte"))}.get(
            indicator.name
        )
        if ops is None and (objective.op, objective.value) != (None, None):
            raise ValueError(f"{indicator.name} is a ratio: its target says all; remove op, value")
        if ops is not None and (objective.op not in ops or objective.value is None):
            raise ValueError(f"objectives.0 of {indicator.name} needs op {ops[0]} and a value")
        slices = (objective.timeSliceTarget, objective.timeSliceWindow)
        if self.budgetingMethod == "Timeslices" and None in slices:
            raise ValueError("Timeslices need objectives.0.timeSliceTarget and timeSliceWindow")
        if ENDPOINTS in indicator.annotations and not names(indicator.annotations[ENDPOINTS]):
            raise ValueError(f"indicator.metadata.annotations: {ENDPOINTS} names no endpoint")
        window = objective.timeSliceWindow
        if window is not None and (window[-1] not in WINDOW_S or int(window[:-1]) == 0):
            raise ValueError(f"objectives.0.timeSliceWindow {window} is no slice, e.g. 1m or 1h")
        if indicator.name in TIMES and not _is_share(indicator.annotations.get(QUANTILE)):
            raise ValueError(
                f'indicator.metadata.annotations needs {QUANTILE}, as a string such as "0.95"'
            )
        return self


class SloDocument(_Strict):
    """An OpenSLO SLO."""

    apiVersion: Literal["openslo/v1"]  # noqa: N815
    kind: Literal["SLO"]
    metadata: Metadata
    spec: SloSpec

    def objective(self) -> Objective:
        """The promise in the harness's own words."""
        objective, indicator = self.spec.objectives[0], self.spec.indicator.metadata
        threshold = objective.target if objective.value is None else objective.value
        if indicator.name == "error_ratio":
            threshold = round(1 - objective.target, 12)
        quantile = indicator.annotations.get(QUANTILE) if indicator.name in TIMES else None
        return Objective(
            name=objective.displayName or self.metadata.name,
            indicator=indicator.name,
            threshold=float(threshold),
            quantile=None if quantile is None else float(quantile),
            endpoints=names(indicator.annotations.get(ENDPOINTS, "")),
            window_s=slice_s(objective.timeSliceWindow),
        )


class RouteSpec(_Strict):
    """One path of the service's API, named as an OpenAPI operation would be."""

    name: Annotated[str, Field(pattern=r"^[a-z][A-Za-z0-9]*$", max_length=63)]
    path: Path
    methods: Annotated[list[Method], Field(min_length=1)]


class EnvironmentSpec(_Strict):
    """A place where the service runs."""

    name: Name
    namespace: Name
    baseUrl: Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$")]  # noqa: N815
    production: bool = False
    pods: PodSettings = NONE


class Resources(_Strict):
    """What one replica is given."""

    cpu: Annotated[Finite, Field(gt=0, le=1024)]
    memory: Annotated[str, Field(pattern=r"^[1-9]\d*(Ki|Mi|Gi)$")]


class RateLimitSpec(_Strict):
    """What the gateway lets each client do."""

    requests: Annotated[int, Field(ge=1)]
    window: Annotated[str, Field(pattern=r"^[1-9]\d{0,5}[smh]$")]
    header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$", max_length=100)] = "x-api-key"


class TargetSpec(_Strict):
    """What the harness needs to find, deploy and drive a service; `regions` by priority."""

    service: Name
    tier: Tier
    coreApplication: bool  # noqa: N815
    port: Annotated[int, Field(ge=1, le=65_535)]
    replicas: Annotated[int, Field(ge=1, le=1000)]
    resources: Resources
    healthPath: Path  # noqa: N815
    primaryMetric: Literal["p50", "p95", "p99", "error_ratio", "throughput"]  # noqa: N815
    gate: list[GateRule] = Field(default_factory=list)
    profiles: list[Name] = Field(default_factory=list)
    dependsOn: list[Name] = Field(default_factory=list)  # noqa: N815
    degradesWithout: list[Name] = Field(default_factory=list)  # noqa: N815
    rateLimit: RateLimitSpec | None = None  # noqa: N815
    regions: Annotated[dict[Name, RegionRole], Field(min_length=1)]
    environments: list[EnvironmentSpec]
    routes: Annotated[list[RouteSpec], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if next(iter(self.regions.values())) != "active":
            raise ValueError("the first of regions must be active: it is the one that is driven")
        _refuse_twins("environments", [item.name for item in self.environments])
        _refuse_twins("profiles", self.profiles)
        _refuse_twins("dependsOn", self.dependsOn)
        _refuse_twins("degradesWithout", self.degradesWithout)
        if stray := set(self.degradesWithout) - set(self.dependsOn):
            raise ValueError(f"degradesWithout names {min(stray)!r}, which dependsOn does not")
        _refuse_twins("routes", [item.name for item in self.routes])
        _refuse_twins("routes", [item.path for item in self.routes])
        for number, route in enumerate(self.routes):
            _refuse_twins(f"routes.{number}.methods", route.methods)
        return self


class TargetDocument(_Strict):
    """The harness's own document."""

    apiVersion: Literal["harness.codai/v1"]  # noqa: N815
    kind: Literal["Target"]
    metadata: Metadata
    spec: TargetSpec


Document = ServiceDocument | SloDocument | TargetDocument

DOCUMENTS: dict[tuple[str, str], type[Document]] = {
    ("openslo/v1", "Service"): ServiceDocument,
    ("openslo/v1", "SLO"): SloDocument,
    ("harness.codai/v1", "Target"): TargetDocument,
}


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


def _refuse_twins(field: str, values: Sequence[str]) -> None:
    twins = sorted({value for value in values if values.count(value) > 1})
    if twins:
        raise ValueError(f"{field} holds {twins[0]!r} twice; keep one")
