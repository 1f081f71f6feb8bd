"""Requests whose answer is a stream, and what a good one keeps."""

from collections.abc import Sequence
from dataclasses import replace

from harness.catalog.model import Objective, in_scope
from harness.traffic.endpoints import shown_as
from harness.traffic.model import Limits, Request, TrafficModel


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
