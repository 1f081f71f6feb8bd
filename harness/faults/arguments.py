"""Arguments that several kinds of faults share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, model_validator

from harness.faults.draw import ANY, Among, draw
from harness.faults.model import Arguments, argument

EVERYWHERE = "global"
"""The edge that is no region's."""


class InRegion(Arguments):
    """Whatever is in one region."""

    region: str | None = argument(None, "region of what is hit", min_length=1)


class Replicas(InRegion):
    """Ready replicas of one region or of all: all of them, or some drawn by a seed."""

    count: int | None = argument(None, "how many of the ready replicas; default: all", ge=1)
    percent: float | None = argument(
        None, "share of the ready replicas, rounded up", unit="%", gt=0, le=100
    )
    seed: int = argument(1, "draws which")

    @model_validator(mode="after")
    def _count_or_percent(self) -> Replicas:
        if self.count is not None and self.percent is not None:
            raise ValueError("count and percent; give one of them")
        return self

    def draw(self, kind: str, ready: Sequence[str], among: Among = ANY) -> list[str]:
        """The names of those that are hit; raises PlatformError where there are too few."""
        return draw(kind, ready, among, count=self.count, percent=self.percent, seed=self.seed)


class Share(Arguments):
    """A share of packets or requests."""

    share: float = argument(1.0, "share that is hit", ge=0.0001, le=1)


class Link(Arguments):
    """All that passes between two regions."""

    regions: Annotated[tuple[str, str], Field(strict=False)] = argument(
        ..., "the two ends, each a region or `global`"
    )

    @model_validator(mode="after")
    def _two_ends(self) -> Link:
        if self.regions[0] == self.regions[1]:
            raise ValueError(f"regions {list(self.regions)!r}; give two of them")
        return self


class Held(Arguments):
    """What is killed."""

    hold: bool = argument(default=False, text="keep it down until the heal")


class Grace(Arguments):
    """A rollout, one replica after the other."""

    grace_s: float = argument(
        1.5, "before and after each restart, for the edges to notice", unit="s", ge=0, le=60
    )


class ForSeconds(Arguments):
    """What ends by itself."""

    for_s: float = argument(300.0, "it ends by itself after this", unit="s", ge=1, le=600)


class Dependency(Arguments):
    """A service that the service needs."""

    dependency: str = argument("database", "its label app.kubernetes.io/component", min_length=1)
    name: str | None = argument(
        None, "its label app.kubernetes.io/name; default: the service's own", min_length=1
    )


class AdminPort(Arguments):
    """Where the Envoys are administered."""

    admin_port: int | None = argument(
        None, "of the Envoys; default: 15000, 9901 or 19000", ge=1, le=65535
    )
