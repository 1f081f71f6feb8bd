"""Words of the command line that several commands share, normalised once."""

import json
import math
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from harness.catalog.model import Objective
from harness.catalog.short_form import parse_objective
from harness.errors import UsageError
from harness.units import one_line, parse_duration, parse_rate, parse_ratio

LONGEST_REVISION = 200
"""Characters: image digests have 71, names of branches seldom more than 100."""

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


EMPTY = "it is empty: give a value, or leave the option out"
"""Of a variable that is not set: it must mean neither the usual value nor the current directory."""


class _Parsed(click.ParamType[T]):
    """A click type around a parser that raises ValueError; a value it has made is left alone."""

    def __init__(self, name: str, kind: type[T], parse: Callable[[str], T]) -> None:
        self.name = name
        self._kind = kind
        self._parse = parse

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> T:
        if isinstance(value, self._kind) and not isinstance(value, str):
            return value
        try:
            return self._parse(str(value))
        except ValueError as problem:
            self.fail(str(problem), param, ctx)


class _Directory(click.Path):
    """A directory; to click an empty value is the current one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As click does."""
        if value == "":
            self.fail(EMPTY, param, ctx)
        return super().convert(value, param, ctx)


def _parse_object(text: str) -> dict[str, object]:
    """A JSON object."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise ValueError(f"{one_line(text, 80)!r} is not JSON ({problem})") from None
    if not isinstance(found, dict):
        raise ValueError(f"{one_line(text, 80)!r} is no JSON object")  # noqa: TRY004 - as click asks
    return found


def _parse_given(text: str) -> str:
    """A value that is not empty."""
    if not text.strip():
        raise ValueError(EMPTY)
    return text


def _parse_revision(text: str) -> str:
    """What may name a revision: one word, as a commit, a tag or an image digest is."""
    text = text.strip()
    if not text or len(text) > LONGEST_REVISION or any(c.isspace() for c in text):
        raise ValueError(f"{text[:40]!r} is no revision: give one word")
    if not text.isprintable():
        raise ValueError("a revision has printable characters only")
    return text


def parameters(
    ctx: click.Context, param: click.Parameter, words: tuple[str, ...]
) -> dict[str, Any]:
    """`--set name=value`: plain values as YAML reads them; a date and the like stay text."""
    return dict(_parameter(word, ctx, param) for word in words)


def _parameter(
    word: str, ctx: click.Context, param: click.Parameter
) -> tuple[str, str | bool | int | float]:
    import yaml

    name, equals, text = word.partition("=")
    if not name or not equals:
        raise click.BadParameter(f"{one_line(word, 80)!r} is not name=value", ctx, param)
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError):
        raise click.BadParameter(
            f"{one_line(word, 80)!r}: the value is not YAML; quote it", ctx, param
        ) from None
    if value is None:
        raise click.BadParameter(f"{name} has no value", ctx, param)
    if isinstance(value, date):
        return name, text
    if not isinstance(value, (str, bool, int, float)):
        raise click.BadParameter(
            f"{one_line(word, 80)!r}: not a text, a number, true or false", ctx, param
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise click.BadParameter(f"{name} is {value}; give a finite number", ctx, param)
    return name, value


def _loads(ctx: click.Context, param: click.Parameter, words: tuple[str, ...]) -> dict[str, str]:
    """`--population NAME=LOAD`, as a mapping."""
    found = {}
    for word in words:
        name, equals, load = word.partition("=")
        if not name.strip() or not equals or not load.strip():
            raise click.BadParameter(f"{one_line(word, 80)!r} is not NAME=LOAD", ctx, param)
        found[name.strip()] = load.strip()
    return found


def with_options(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Give a command these options, in this order in its help."""

    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def was_given(name: str) -> bool:
    """Whether an option of the present command stands on the command line, by its parameter."""
    source = click.get_current_context().get_parameter_source(name)
    return source is ParameterSource.COMMANDLINE


def service_or_own(service: str | None, usual: str | None = None) -> str:
    """The service that was named, else the own program, else the usual one; UsageError for none."""
    if service:
        return service
    from harness.session.own import find_own

    own = find_own()
    if own is None and usual is None:
        raise UsageError(
            "no service was named, and there is no program of your own",
            "name one (`harness services`), or start yours: harness lab up --command …",
        )
    return own.service.name if own is not None else str(usual)


DURATION = _Parsed("duration", float, parse_duration)
RATE = _Parsed("rate", float, parse_rate)
GIVEN = _Parsed("text", str, _parse_given)
RATIO = _Parsed("share", float, parse_ratio)

PODS = click.option(
    "--pods",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="YAML: tolerations, nodeSelector, requests, limits, priorityClassName and labels of the"
    " pods that are made on a cluster, instead of the catalogue's.",
)

CONTEXT = click.option(
    "--context", type=GIVEN, help="Of the kubeconfig (default: the current one)."
)
KUBECONFIG = click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Default: $KUBECONFIG, ~/.kube/config, or the cluster this runs in.",
)
CLUSTER_OPTIONS = (
    click.option(
        "--namespace", type=GIVEN, help="Of the service on a cluster, e.g. codai-staging."
    ),
    CONTEXT,
    KUBECONFIG,
    PODS,
)
"""Which cluster is meant, and where in it."""

PLACE_OPTIONS = (
    click.option(
        "--platform",
        type=click.Choice(["lab", "kubernetes", "url"]),
        default="lab",
        help="Where the service runs.",
    ),
    *CLUSTER_OPTIONS,
)
"""Which deployment is meant, for every command that drives or breaks one."""

PROMETHEUS_OPTION = click.option(
    "--prometheus",
    metavar="URL",
    help="Ask it after the run what the service says of itself; never judged. A bearer token is"
    " taken from HARNESS_PROMETHEUS_TOKEN.",
)

GUARD_OPTIONS = (
    click.option(
        "--stop-on-alert",
        metavar="NAME|PROMQL",
        help="Undo the fault and end once this alert fires, or this condition of the --prometheus"
        " holds; nothing is begun where nobody can be asked or it fires already.",
    ),
    click.option(
        "--alertmanager",
        metavar="URL",
        help="Ask it for the alert, not the --prometheus. A bearer token is taken from"
        " HARNESS_ALERTMANAGER_TOKEN.",
    ),
)
"""What guards an experiment besides its own limits."""

EARLY_END_OPTION = click.option(
    "--early-end/--no-early-end",
    default=True,
    help="End a run by itself once nothing answers, or once it fails for certain.",
)

PROFILE = click.option("--profile", default="perf", help="Load profile by name.")
RATE_OPTION = click.option(
    "--rate", type=RATE, help="Arrival rate of the hold phase, e.g. 10k or 600/m."
)
DURATION_OPTION = click.option(
    "--duration", "duration_s", type=DURATION, help="Length of the hold phase."
)
SEED = click.option("--seed", type=int, help="Seed of the schedule and of every value drawn.")
SALT = click.option(
    "--salt",
    type=click.IntRange(0, 2**53),
    help="plan.salt of a run.json: repeat its uuid() and sequence() values, too.",
)
SPACING = click.option(
    "--spacing", type=click.Choice(["poisson", "constant"]), help="How arrivals are spaced."
)
STAGES = click.option(
    "--stages",
    metavar="DURATION:RATE,…",
    help="Your own stages instead of a profile, each in a straight line to its rate:"
    " 1m:100,5m:500,1m:0.",
)
SCENARIO = click.option("--scenario", help="A file in scenarios/ instead of the service's own.")
MAX_IN_FLIGHT = click.option(
    "--max-in-flight", type=click.IntRange(min=1), help="Bound of requests under way, of all."
)
BEHAVIOUR = click.option(
    "--behaviour",
    type=_Parsed("json", dict, _parse_object),
    default={},
    show_default=False,
    help='How the lab\'s service answers, e.g. {"latency_median_s": 0.02}.',
)
REPLICAS = click.option(
    "--replicas", type=click.IntRange(min=1), help="Replicas per region in the lab."
)
RESULTS = click.option(
    "--results",
    type=_Directory(path_type=Path, file_okay=False),
    help="Where records are kept (default: results/).",
)

BASELINES = click.option(
    "--baselines",
    type=_Directory(path_type=Path, file_okay=False),
    help="Where baselines are kept (default: baselines/).",
)
SHARE = click.option("--share", is_flag=True, help="Let other users read the record.")
PRODUCTION = click.option("--production", is_flag=True, help="Confirm that production is meant.")
ALLOW_TARGET = click.option(
    "--allow-target",
    "allow_targets",
    multiple=True,
    metavar="HOST",
    envvar="HARNESS_ALLOW_TARGETS",
    help="Load this host although the catalogue does not know it; may be given again.",
)

USER_OPTIONS = (
    click.option(
        "--users", type=click.IntRange(min=1), help="Closed model instead: N users in a loop."
    ),
    click.option(
        "--think-time",
        "think_s",
        type=DURATION,
        help="Of --users: from an answer to the user's next request.",
    ),
    click.option(
        "--spawn-rate",
        type=RATE,
        help="Users of a locustfile that begin in a second (default: all within 5 s).",
    ),
    click.option(
        "--population",
        "populations",
        multiple=True,
        callback=_loads,
        metavar="NAME=LOAD",
        help="The load of a population of the scenario instead of its own: 5/s, 1m:0,5m:200, or"
        ' "20 users think 2s"; repeat for several.',
    ),
)
"""Who makes the requests, where the profile alone does not say it."""

ARRIVAL_OPTIONS = (
    PROFILE,
    STAGES,
    RATE_OPTION,
    DURATION_OPTION,
    SEED,
    SALT,
    SPACING,
    *USER_OPTIONS,
)
"""When requests are due, for every command that does not choose that itself."""


DEPLOYMENT_OPTIONS = (
    SCENARIO,
    *PLACE_OPTIONS,
    click.option("--target", metavar="URL", help="Drive this URL instead of the lab."),
    click.option("--environment", help="Drive an environment named in the catalogue."),
    PRODUCTION,
    ALLOW_TARGET,
    click.option(
        "--through",
        type=click.Choice(["service", "edge", "global"]),
        default="service",
        help="The service itself, its region's edge, or the global edge (a cluster's Ingress).",
    ),
    click.option("--region", help="Region to drive (default: the first)."),
    BEHAVIOUR,
    click.option(
        "--objective",
        "objectives",
        type=_Parsed("objective", Objective, parse_objective),
        multiple=True,
        help='Judge this as well, or instead of the same one of the catalogue: "p95 < 80ms",'
        ' "errors < 0.5%", "recall: p99 < 50ms". Several are allowed.',
    ),
    REPLICAS,
    click.option("--workers", type=click.IntRange(1, 64), default=1, help="Load worker processes."),
    click.option(
        "--connections",
        type=click.IntRange(1, 65_000),
        help="Connections per address (default: what the rate and the objectives need).",
    ),
    MAX_IN_FLIGHT,
    RESULTS,
    SHARE,
    click.option(
        "--service-commit",
        type=_Parsed("revision", str, _parse_revision),
        help="Revision of the service under test, kept in the record and the baseline.",
    ),
)


def deployment_options(command: F) -> F:
    """Give a command what says where a run goes and how, all but its arrivals."""
    return with_options(*DEPLOYMENT_OPTIONS)(command)


def run_options(command: F) -> F:
    """Give a command the options of a run, as keyword arguments named like RunOptions' fields."""
    return with_options(*ARRIVAL_OPTIONS, *DEPLOYMENT_OPTIONS)(command)
