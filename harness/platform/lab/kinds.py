"""The lab's fault kinds: their arguments, and what each needs to be carried out here."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from harness.errors import PlatformError
from harness.platform.lab import packets
from harness.platform.lab.namespace import Isolation, isolation
from harness.platform.lab.topology import GLOBAL
from harness.platform.model import Fault

Means = Literal["processes", "packets", "edges", "behaviour", "rollout", "pressure"]
Need = Literal["network", "nftables", "own cores"]


@dataclass(frozen=True, slots=True)
class Choice:
    """An argument that is one of some words, or (default None) left out."""

    default: Any = None
    words: tuple[str, ...] | None = None

    def check(self, value: Any) -> str | None:
        """None, or what is wrong with a value."""
        if self.words is not None and value not in self.words:
            return f"give one of {', '.join(self.words)}"
        return None


@dataclass(frozen=True, slots=True)
class Number:
    """An argument that is a number within bounds; default None may be left out."""

    default: float | None
    low: float
    high: float
    whole: bool = False

    def check(self, value: Any) -> str | None:
        """None, or what is wrong with a value."""
        kinds = int if self.whole else (int, float)
        fits = isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)
        if not fits or not self.low <= value <= self.high:
            return f"give {'a whole' if self.whole else 'a'} number {self.low:g} to {self.high:g}"
        return None


@dataclass(frozen=True, slots=True)
class Flag:
    """An argument that is true or false."""

    default: bool = False

    def check(self, value: Any) -> str | None:
        """None, or what is wrong with a value."""
        return None if isinstance(value, bool) else "give true or false"


Argument = Choice | Number | Flag

GRACE_S = 1.5
"""Before and after a restart, for the edges' health checks (every second) to turn away and back."""

_REGION: Mapping[str, Argument] = {"region": Choice()}
_REPLICAS: Mapping[str, Argument] = {
    "region": Choice(),
    "count": Number(None, -math.inf, math.inf, whole=True),  # the choice itself tells the bounds
    "percent": Number(None, -math.inf, math.inf),
    "seed": Number(1, -math.inf, math.inf, whole=True),
}
_HOLD: Mapping[str, Argument] = {"hold": Flag()}
_SHARE: Mapping[str, Argument] = {"share": Number(1.0, 0.0001, 1.0)}
_EDGE: Mapping[str, Argument] = {"edge": Choice(GLOBAL)}
_FOR_S: Mapping[str, Argument] = {"for_s": Number(300.0, 1.0, 600.0)}
_GRACE_S: Mapping[str, Argument] = {"grace_s": Number(GRACE_S, 0.0, 60.0)}


@dataclass(frozen=True, slots=True)
class Kind:
    """One fault kind: by which means it is done, on what, with which arguments and needs."""

    means: Means
    hits: Literal["replica", "edge", "database", "region", "link"]
    arguments: Mapping[str, Argument] = field(default_factory=dict)
    need: Need | None = None


KINDS: Mapping[str, Kind] = {
    "kill-replicas": Kind("processes", "replica", {**_REPLICAS, **_HOLD}),
    "pause-replicas": Kind("processes", "replica", _REPLICAS),
    "kill-edge": Kind("processes", "edge", {**_REGION, **_HOLD}),
    "pause-edge": Kind("processes", "edge", _REGION),
    "kill-database": Kind("processes", "database", {**_REGION, **_HOLD}),
    "pause-database": Kind("processes", "database", _REGION),
    "fail-region": Kind(
        "processes", "region", {**_REGION, "mode": Choice("pause", ("pause", "kill"))}
    ),
    "partition-regions": Kind("packets", "link", {"regions": Choice()}, "network"),
    "isolate-region": Kind("packets", "link", _REGION, "network"),
    "partition-dependency": Kind(
        "packets",
        "link",
        {**_REPLICAS, "dependency": Choice("database", ("database",))},
        "network",
    ),
    "lose-packets": Kind("packets", "link", {"regions": Choice(), **_SHARE}, "nftables"),
    "reset-connections": Kind(
        "packets", "replica", {**_REPLICAS, "edge": Choice(), **_SHARE}, "nftables"
    ),
    "delay-requests": Kind(
        "edges", "edge", {**_EDGE, **_SHARE, "delay_s": Number(1.0, 0.001, 60.0)}
    ),
    "abort-requests": Kind(
        "edges", "edge", {**_EDGE, **_SHARE, "status": Number(503, 400, 599, whole=True)}
    ),
    "slow-replicas": Kind(
        "behaviour",
        "replica",
        {
            **_REPLICAS,
            **_SHARE,
            "add_s": Number(0.0, 0.0, 60.0),
            "factor": Number(1.0, 1.0, 1000.0),
        },
    ),
    "bad-release": Kind(
        "rollout",
        "replica",
        {
            **_REPLICAS,
            **_GRACE_S,
            "latency_s": Number(0.0, 0.0, 60.0),
            "error_ratio": Number(0.0, 0.0, 1.0),
            "garbage_ratio": Number(0.0, 0.0, 1.0),
        },
    ),
    "rolling-restart": Kind("rollout", "replica", {**_REPLICAS, **_GRACE_S}),
    "cpu-pressure": Kind(
        "pressure",
        "replica",
        {**_REPLICAS, **_FOR_S, "workers": Number(2, 1, 8, whole=True)},
        "own cores",
    ),
    "memory-pressure": Kind(
        "pressure",
        "replica",
        {**_REPLICAS, **_FOR_S, "megabytes": Number(256, 1, 1024, whole=True)},
        "own cores",
    ),
}

NO_CLOCK = (
    "Linux has no namespace for the wall clock: to move a replica's would move the host's, "
    "beyond the lab"
)


def checked(fault: Fault) -> dict[str, Any]:
    """The fault's arguments with their defaults; raises PlatformError on what cannot be."""
    kind = KINDS.get(fault.kind)
    if kind is None:
        raise PlatformError(f"no fault {fault.kind!r} in the lab", f"there are {', '.join(KINDS)}")
    given = {name: value for name, value in fault.arguments.items() if value is not None}
    for name, value in given.items():
        argument = kind.arguments.get(name)
        if argument is None:
            raise PlatformError(
                f"{fault.kind}: no argument {name!r}", f"it takes {', '.join(kind.arguments)}"
            )
        wrong = argument.check(value)
        if wrong is not None:
            raise PlatformError(f"{fault.kind}: {name} {value!r}", wrong)
    defaults = {name: each.default for name, each in kind.arguments.items()}
    values = {**defaults, **given}
    if fault.kind == "slow-replicas" and (values["add_s"], values["factor"]) == (0.0, 1.0):
        raise PlatformError("slow-replicas: neither add_s nor factor", "give one of them")
    worse = ("latency_s", "error_ratio", "garbage_ratio")
    if fault.kind == "bad-release" and not any(values[name] for name in worse):
        raise PlatformError("bad-release: nothing is worse in it", f"give one of {worse}")
    return values


def capabilities(within: Isolation, *, own_cores: bool) -> dict[str, str | None]:
    """Fault kind -> None, or why the lab cannot carry it out here."""
    network = nftables = cores = None
    if within.missing is not None:
        network = nftables = f"it needs a network namespace of its own: {within.missing}"
    elif packets.means() != "nftables":
        nftables = "it needs nftables; install the package nftables"
    if not own_cores:
        cores = "the load generator shares its cores with the lab and would be slowed itself"
    reasons = {None: None, "network": network, "nftables": nftables, "own cores": cores}
    found = {name: reasons[kind.need] for name, kind in KINDS.items()}
    return {**found, "clock-jump": NO_CLOCK, "delay-link": network or _no_netem()}


@cache
def _no_netem() -> str:
    """Why packets cannot be delayed, found by trying in a namespace of its own."""
    code = (
        "from pyroute2 import IPRoute\n"
        "with IPRoute() as r: r.tc('add', 'netem', r.link_lookup(ifname='lo')[0], delay=1000)"
    )
    tried = subprocess.run(
        [*isolation().enter, sys.executable, "-c", code],
        capture_output=True,
        check=False,
        timeout=20,
    )
    instead = "delay-requests or slow-replicas delay at the edge or in the service"
    if tried.returncode != 0:
        return f"this kernel has no netem (sch_netem); {instead}"
    return f"the lab does not drive this kernel's netem; {instead}"
