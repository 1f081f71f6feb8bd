"""What a kind of fault is: typed arguments, and what each platform needs to carry it out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

Permission = tuple[str, str, str]
"""API group, resource with its subresource, verb: as RBAC names them."""

Hits = Literal["replica", "edge", "database", "region", "link", "node", "deployment"]
LabInjector = Literal["processes", "packets", "edges", "behaviour", "rollout", "pressure"]
Capability = Literal["network", "nftables", "own cores"]
Limit = float | tuple[str, ...]


def permissions(group: str, resources: str, verbs: str) -> tuple[Permission, ...]:
    """Each verb for each resource of an API group, both separated by spaces."""
    return tuple((group, each, verb) for each in resources.split() for verb in verbs.split())


AGENT = permissions("", "pods", "create get deletecollection")
"""What holding a fault by agents takes."""

NODES = permissions("", "nodes", "get patch")
WORKLOADS = permissions("apps", "deployments statefulsets daemonsets", "get patch")
ROLLOUTS = permissions("argoproj.io", "rollouts", "get patch")
"""The same of Argo Rollouts, where a cluster has them."""

REBALANCE = permissions("apps", "deployments statefulsets daemonsets", "patch")
"""A rolling restart, which spreads pods anew."""


class Arguments(BaseModel):
    """The arguments of a fault; what is not finite, empty or not known is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def argument(default: Any, text: str, *, unit: str | None = None, **bounds: Any) -> Any:
    """A field of `Arguments`: its default (`...`: it must be given), help, unit and bounds."""
    extra: dict[str, Any] | None = {"unit": unit} if unit else None
    return Field(default, description=text, json_schema_extra=extra, **bounds)


@dataclass(frozen=True, slots=True)
class OnLab:
    """How the lab carries a kind out: its injector, and what that needs of this machine.

    `lacks` names arguments that have no meaning there, `limits` what is narrower there: the
    greatest number, or the words that remain of a choice. `pauses`: its processes are stopped.
    """

    injector: LabInjector
    capability: Capability | None = None
    lacks: tuple[str, ...] = ()
    limits: Mapping[str, Limit] = field(default_factory=dict)
    pauses: bool = False


@dataclass(frozen=True, slots=True)
class OnKubernetes:
    """What a cluster must permit: to the harness, and to the agent that undoes by the API.

    `moves_pods`: pods may have left a region for good afterwards. `ignores` names arguments that
    are taken and not kept, with what happens instead; `lacks` those that are refused. `optional`
    is granted by the roles and not asked for: not every cluster has what it is about.
    """

    permissions: tuple[Permission, ...] = AGENT
    undo_permissions: tuple[Permission, ...] = ()
    moves_pods: bool = False
    optional: tuple[Permission, ...] = ()
    ignores: Mapping[str, str] = field(default_factory=dict)
    lacks: tuple[str, ...] = ()

    @property
    def all_permissions(self) -> tuple[Permission, ...]:
        """Those of the fault and of its aftermath."""
        return (*self.permissions, *(REBALANCE if self.moves_pods else ()))


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One kind of fault; `lab` and `kubernetes` give the reason where it cannot be carried out.

    `whole_region`: it takes a whole region from the users and may not hit the last healthy one.
    `stops`: its replicas are not ready while it holds, and no other fault draws them.
    `needs_regions`: a service survives it only where it runs in more than one region. Its module
    gives `name` and `summary` (the docstring).
    """

    arguments: type[Arguments]
    hits: Hits
    lab: OnLab | str
    kubernetes: OnKubernetes | str
    whole_region: bool = False
    stops: bool = False
    needs_regions: bool = False
    name: str = ""
    summary: str = ""

    def on(self, platform: str) -> OnLab | OnKubernetes | str:
        """How a platform carries it out, or why not."""
        found: Mapping[str, OnLab | OnKubernetes | str]
        found = {"lab": self.lab, "kubernetes": self.kubernetes}
        return found.get(platform, f"{platform} cannot inject faults")

    def takes(self, platform: str) -> tuple[str, ...]:
        """The names of the arguments that have a meaning on a platform."""
        place = self.on(platform)
        without = set() if isinstance(place, str) else set(place.lacks)
        if isinstance(place, OnKubernetes):
            without |= set(place.ignores)
        return tuple(name for name in self.arguments.model_fields if name not in without)


def expected(info: FieldInfo, limit: Limit | None = None) -> str:
    """What a value must be, with its bounds: `a whole number 1 to 8`; `limit` is a platform's."""
    kinds = [each for each in get_args(info.annotation) or (info.annotation,) if each != NoneType]
    words = limit if isinstance(limit, tuple) else kinds
    if words is limit or get_origin(info.annotation) is Literal:
        return f"one of {', '.join(map(str, words))}"
    if get_origin(info.annotation) is tuple:
        return "two of them"
    names: Mapping[object, str] = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "a name",
    }
    bounds = _bounds(info, limit)
    return f"{names.get(kinds[0], 'a mapping')} {bounds}".rstrip()


def _bounds(info: FieldInfo, most: object) -> str:
    low = next((each for each in info.metadata if isinstance(each, Ge | Gt)), None)
    high = next((each for each in info.metadata if isinstance(each, Le)), None)
    upper: object = most if most is not None else high.le if high is not None else None
    if isinstance(low, Gt):
        return f"above {low.gt:g}" + ("" if upper is None else f", up to {upper:g}")
    if isinstance(low, Ge):
        return f"{low.ge:g} to {upper:g}" if upper is not None else f"of at least {low.ge:g}"
    return ""
