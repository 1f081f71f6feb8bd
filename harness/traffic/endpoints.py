"""Names of endpoints, grouped by template beyond a bound, and those whose answers are streams."""

from collections.abc import Sequence
from dataclasses import replace

from harness.catalog.model import Objective, in_scope
from harness.traffic.imports.seen import split_path
from harness.traffic.model import Limits, Request, TrafficModel

MOST_ENDPOINTS = 200
"""As many as a table can be read with; a client without `name=` makes one of each URL."""

OTHERS = "(others)"


class Endpoints:
    """The names of one process, or of one scenario."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._grouped: set[str] = set()

    def of(self, name: str) -> str:
        """The name itself, or its path's template (`/orders/{orders_id}`) once there are too many.

        Templates are bounded as well; what is beyond them has one name.
        """
        if name in self._known or name in self._grouped:
            return name
        if len(self._known) < MOST_ENDPOINTS:
            self._known.add(name)
            return name
        template = _template(name)
        if template not in self._grouped and len(self._grouped) >= MOST_ENDPOINTS:
            return OTHERS
        self._grouped.add(template)
        return template


def shown_as(traffic: TrafficModel) -> dict[str, str]:
    """Each declared request -> the endpoint that it counts into, over all populations.

    That is itself but for those beyond the bound. The request whose writes are read back stays.
    """
    endpoints, found = Endpoints(), {}
    for model in (traffic, *traffic.others):
        prefix = f"{model.population}/" if model.population else ""
        for each in model.templates:
            read_back = model.audit is not None and model.audit.write == each.name
            shown = each.name if read_back else endpoints.of(each.name)
            found[each.name] = shown if shown.startswith(prefix) else prefix + shown
    return found


def _template(name: str) -> str:
    """A name whose numbers, UUIDs and the like are slots; without a query."""
    words = name.partition("?")[0].split(" ")
    filled = " ".join(split_path(word)[0] for word in words)
    return filled.replace("{{", "{").replace("}}", "}")


def stream_endpoints(traffic: TrafficModel, patterns: Sequence[str] = ()) -> tuple[str, ...]:
    """The endpoints whose answers are streams, of all or of those named (patterns allowed)."""
    shown = shown_as(traffic)
    names = dict.fromkeys(shown[each.name] for each in _streams(traffic))
    return tuple(name for name in names if in_scope(name, patterns))


def _streams(traffic: TrafficModel) -> list[Request]:
    """Of all populations."""
    models = (traffic, *traffic.others)
    return [request for each in models for request in each.templates if request.stream]


def with_limits(traffic: TrafficModel, objectives: Sequence[Objective]) -> TrafficModel:
    """The model whose streams know when they are good: within the limit of every objective.

    Only the engine sees all times of one request together, so goodput is counted there.
    """
    shown = shown_as(traffic)

    def limited(model: TrafficModel) -> TrafficModel:
        return model.mapped(lambda each: _with_limits(each, shown[each.name], objectives))

    return replace(limited(traffic), others=tuple(map(limited, traffic.others)))


def _with_limits(request: Request, endpoint: str, objectives: Sequence[Objective]) -> Request:
    if request.stream is None:
        return request

    def lowest(indicator: str) -> float | None:
        found = [
            o.threshold
            for o in objectives
            if o.indicator == indicator and in_scope(endpoint, o.endpoints)
        ]
        return min(found, default=None)

    limits = Limits(
        ttft_s=lowest("time_to_first_token"),
        itl_s=lowest("inter_token_latency"),
        response_s=lowest("latency"),
    )
    return replace(request, stream=replace(request.stream, limits=limits))


def drain_s(traffic: TrafficModel, usual_s: float) -> float:
    """How long what is under way at the end may take: streams, as long as their timeouts say."""
    return max([usual_s, *(each.timeout_s for each in _streams(traffic))])
