"""The YAML documents of `services/<name>.yaml`: OpenSLO v1 and our own `Target`.

OpenSLO (https://github.com/OpenSLO/OpenSLO) holds what must hold; `Target` holds what the
harness needs to find, deploy and drive the service.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from harness.catalog.model import Indicator, Tier


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("must be a finite number")
    return value


Finite = Annotated[float, AfterValidator(_finite)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=63)]
Path = Annotated[str, Field(pattern=r"^/[^\s?#]*$")]
Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Open(BaseModel):
    """OpenSLO documents may hold fields that the harness has no use for."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)


class Metadata(_Open):
    """The `metadata` of every document."""

    name: Name
    annotations: dict[str, str] = Field(default_factory=dict)


class ServiceSpec(_Open):
    """`spec` of an OpenSLO Service."""

    description: str = ""


class ServiceDocument(_Strict):
    """An OpenSLO Service."""

    apiVersion: Literal["openslo/v1"]  # noqa: N815 - the format's spelling
    kind: Literal["Service"]
    metadata: Metadata
    spec: ServiceSpec


class IndicatorMetadata(_Open):
    """Which of the harness's indicators an SLO's inline indicator is."""

    name: Indicator
    annotations: dict[str, str] = Field(default_factory=dict)


class InlineIndicator(_Open):
    """The inline indicator of an SLO."""

    metadata: IndicatorMetadata
    spec: dict[str, Any]


class ObjectiveSpec(_Open):
    """One objective of an SLO."""

    displayName: str = ""  # noqa: N815 - the format's spelling
    op: Literal["lt", "lte", "gt", "gte"] | None = None
    value: Annotated[Finite, Field(gt=0)] | None = None
    target: Annotated[Finite, Field(gt=0, lt=1)]


class SloSpec(_Open):
    """`spec` of an OpenSLO SLO."""

    service: Name
    indicator: InlineIndicator
    budgetingMethod: Literal["Occurrences", "Timeslices", "RatioTimeslices"]  # noqa: N815
    objectives: Annotated[list[ObjectiveSpec], Field(min_length=1, max_length=1)]


class SloDocument(_Strict):
    """An OpenSLO SLO."""

    apiVersion: Literal["openslo/v1"]  # noqa: N815 - the format's spelling
    kind: Literal["SLO"]
    metadata: Metadata
    spec: SloSpec


class RouteSpec(_Strict):
    """One path of the service's API."""

    path: Path
    methods: Annotated[list[Method], Field(min_length=1)]


class EnvironmentSpec(_Strict):
    """A place where the service runs."""

    name: Name
    namespace: Name
    baseUrl: Annotated[str, Field(pattern=r"^https?://[^\s/]+")]  # noqa: N815
    production: bool = False


class Resources(_Strict):
    """What one replica is given."""

    cpu: Annotated[Finite, Field(gt=0)]
    memory: Annotated[str, Field(pattern=r"^\d+(Ki|Mi|Gi)$")]


class TargetSpec(_Strict):
    """What the harness needs to find, deploy and drive a service."""

    service: Name
    tier: Tier
    coreApplication: bool  # noqa: N815
    port: Annotated[int, Field(ge=1, le=65_535)]
    replicas: Annotated[int, Field(ge=1, le=1000)]
    resources: Resources
    healthPath: Path  # noqa: N815
    primaryMetric: Literal["p50", "p95", "p99", "error_ratio", "throughput"]  # noqa: N815
    regions: Annotated[list[Name], Field(min_length=1)]
    environments: list[EnvironmentSpec]
    routes: Annotated[list[RouteSpec], Field(min_length=1)]


class TargetDocument(_Strict):
    """The harness's own document."""

    apiVersion: Literal["harness.codai/v1"]  # noqa: N815
    kind: Literal["Target"]
    metadata: Metadata
    spec: TargetSpec


DOCUMENTS: dict[tuple[str, str], type[ServiceDocument | SloDocument | TargetDocument]] = {
    ("openslo/v1", "Service"): ServiceDocument,
    ("openslo/v1", "SLO"): SloDocument,
    ("harness.codai/v1", "Target"): TargetDocument,
}
