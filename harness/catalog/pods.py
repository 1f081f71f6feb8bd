"""What a cluster asks of every pod of the harness: tolerations, limits, priority, labels, nodes.

One model for load pods and agents, spelt as in a pod's own manifest. An environment of the
catalogue has it as `pods`, and `--pods FILE` takes its place. Pydantic is for those who have some.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import ClassVar, Literal

from harness.typed import Problem, adapter

Effect = Literal["NoSchedule", "PreferNoSchedule", "NoExecute"]
OS = "kubernetes.io/os"
RESOURCES = ("cpu", "memory", "ephemeral-storage")

_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_KEY = rf"([a-z0-9]([-a-z0-9.]{{0,251}}[a-z0-9])?/)?{_NAME}"
_VALUE = rf"({_NAME})?"
_QUANTITY = r"\d+(\.\d+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?"
_PRIORITY = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"
OWN = ("app.kubernetes.io/", "harness.codai/", "codai-harness/")
"""Prefixes of labels by which the harness finds its own pods: they are not set otherwise."""


@dataclass(frozen=True, slots=True)
class Toleration:
    """A taint that pods of the harness put up with, as Kubernetes has it."""

    key: str = ""
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str = ""
    effect: Effect | None = None
    tolerationSeconds: int | None = None  # noqa: N815 - Kubernetes' spelling, here and below

    __pydantic_config__: ClassVar[Mapping[str, str]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if self.operator == "Equal" and not self.key:
            raise ValueError("a toleration without key needs operator: Exists")
        if self.operator == "Exists" and self.value:
            raise ValueError(f"toleration {self.key}: Exists takes no value")

    def tolerates(self, taint: str) -> bool:
        """Whether it tolerates a taint, `key=value:effect` or `key:effect`."""
        named, _, effect = taint.rpartition(":")
        key, _, value = named.partition("=")
        fits = self.key in {"", key} and (self.operator == "Exists" or self.value == value)
        return fits and self.effect in {None, effect}


@dataclass(frozen=True, slots=True)
class PodSettings:
    """Fields of every pod that the harness makes; raises ValueError for what cannot be.

    `nodeSelector` does not hold for agents, which run on the node that their fault is about.
    """

    tolerations: tuple[Toleration, ...] = ()
    nodeSelector: Mapping[str, str] = field(default_factory=dict, hash=False)  # noqa: N815
    requests: Mapping[str, str] = field(default_factory=dict, hash=False)
    limits: Mapping[str, str] = field(default_factory=dict, hash=False)
    priorityClassName: str | None = None  # noqa: N815
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)

    __pydantic_config__: ClassVar[Mapping[str, str]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        for what in ("requests", "limits"):
            for name, quantity in getattr(self, what).items():
                if name not in RESOURCES:
                    raise ValueError(f"{what}: no resource {name!r}; give {', '.join(RESOURCES)}")
                if not re.fullmatch(_QUANTITY, quantity):
                    raise ValueError(f"{what}.{name}: {quantity!r} is no quantity, e.g. 500m, 64Mi")
        for what in ("nodeSelector", "labels"):
            for key, value in getattr(self, what).items():
                if not re.fullmatch(_KEY, key) or not re.fullmatch(_VALUE, value):
                    raise ValueError(f"{what}: {key}={value} is no label")
        mine = next((key for key in self.labels if key.startswith(OWN)), None)
        if mine is not None:
            raise ValueError(f"labels: {mine} is the harness's own")
        name = self.priorityClassName
        if name is not None and not re.fullmatch(_PRIORITY, name):
            raise ValueError(f"priorityClassName: {name!r} is no name")

    def resources(
        self, requests: Mapping[str, str], limits: Mapping[str, str] | None = None
    ) -> dict[str, dict[str, str]]:
        """The `resources` of a container that has these where nothing else is said."""
        found = {
            "requests": {**requests, **self.requests},
            "limits": {**(limits or {}), **self.limits},
        }
        return {name: values for name, values in found.items() if values}

    @property
    def placement(self) -> dict[str, object]:
        """The fields of a pod that may run anywhere, as its manifest has them."""
        found: dict[str, object] = {
            "tolerations": self.tolerated,
            "nodeSelector": self.selected,
            "priorityClassName": self.priorityClassName,
        }
        return {name: value for name, value in found.items() if value}

    @property
    def selected(self) -> dict[str, str]:
        """The labels of the nodes that take such a pod: of a mixed cluster none of Windows."""
        return {OS: "linux", **self.nodeSelector}

    @property
    def tolerated(self) -> list[dict[str, object]]:
        """The tolerations as a manifest has them."""
        return [
            {name: value for name, value in asdict(each).items() if value not in ("", None)}
            for each in self.tolerations
        ]

    def keeping_away(self, taints: Iterable[str]) -> list[str]:
        """Of a node's taints (`key=value:effect`) those that keep a pod with these away."""
        return [taint for taint in taints if not any(e.tolerates(taint) for e in self.tolerations)]


NONE = PodSettings()

_PLAIN: Mapping[str, str] = {
    "string_type": 'not a text; quote it, e.g. cpu: "1"',
    "dict_type": "not a mapping; write `name: value` lines under it",
    "tuple_type": "not a list; begin each item with -",
}


def settings_from(fields: object) -> PodSettings | Problem:
    """The settings that a mapping of their fields describes, or the first thing wrong with it."""
    from pydantic import ValidationError  # noqa: PLC0415 - heavy

    try:
        return adapter(PodSettings).validate_python(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    path, kind, said = first["loc"], first["type"], first["msg"]
    if kind in {"extra_forbidden", "unexpected_keyword_argument"}:
        return Problem(path, "unknown", said="unknown field")
    if kind == "value_error":
        return Problem(path, "rule", said=said.removeprefix("Value error, "))
    if kind in _PLAIN:
        return Problem(path, "rule", said=_PLAIN[kind])
    return Problem(path, "value", said=said[0].lower() + said[1:])
