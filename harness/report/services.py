"""The page of all services: what each is asked, by whom, how it is loaded, what it promises."""

from collections.abc import Iterable, Sequence

from harness.catalog.dependencies import felt_by
from harness.catalog.model import Objective, RateLimit, Service
from harness.traffic.model import Request, TrafficModel
from harness.units import format_duration, format_rate, format_ratio

HEAD = """# Services
Made by `harness services --markdown` from the catalogue (`services/`) and the traffic models \
(`scenarios/`); a test holds that it is theirs. Dependencies are as far as the purposes of the \
services tell: a team that knows better corrects `dependsOn` of its entry.
"""

_FORMATS = {
    "latency": format_duration,
    "throughput": format_rate,
    "error_ratio": format_ratio,
    "availability": format_ratio,
}


def promise(objective: Objective) -> str:
    """`< 100 ms`, `≥ 10,000/s`."""
    sign = "<" if objective.upper else "≥"
    return f"{sign} {_FORMATS[objective.indicator](objective.threshold)}"


def render_services(pairs: Iterable[tuple[Service, TrafficModel]]) -> str:
    """Markdown: a section for each service with its traffic model."""
    found = tuple(pairs)
    services = tuple(service for service, _ in found)
    return "\n".join([HEAD, *(_section(each, model, services) for each, model in found)])


def _section(service: Service, model: TrafficModel, services: Sequence[Service]) -> str:
    direct, further = felt_by(services, service.name)
    total = sum(each.weight for each in model.requests)
    total += sum(each.weight for each in model.journeys)
    shares = [(item.weight / total, _words(item)) for item in model.requests]
    shares += [(item.weight / total, f"journey {item.name}") for item in model.journeys]
    facts = {
        "tier": f"{service.tier}{', core application' if service.core_app else ''}",
        "routes": ", ".join(f"`{route.path}`" for route in service.routes),
        "mix": "; ".join(f"{text} {format_ratio(share)}" for share, text in shares),
        "feeds": "; ".join(f"`{name}` {feed['kind']}" for name, feed in model.feeds.items()),
        "writes read back": model.audit.write if model.audit else "",
        "profiles": ", ".join(service.profiles),
        "objectives": "; ".join(f"{each.name} {promise(each)}" for each in service.objectives),
        "rate limit": _limit(service.rate_limit),
        "depends on": ", ".join(service.depends_on),
        "answers without": ", ".join(service.degrades_without),
        "felt by": ", ".join(direct),
        "and through them by": ", ".join(further),
    }
    rows = [f"| {name} | {text} |" for name, text in facts.items() if text]
    head = f"## {service.name}\n{service.purpose[:1].upper()}{service.purpose[1:]}.\n"
    return "\n".join([head, "| what | |", "|---|---|", *rows, ""])


def _limit(limit: RateLimit | None) -> str:
    if limit is None:
        return ""
    window = format_duration(limit.window_s)
    return f"{limit.requests:,} requests in {window} for each `{limit.header}`"


def _words(request: Request) -> str:
    streamed = ", streamed" if request.stream else ""
    return f"{request.name} (`{request.method} {request.path.partition('?')[0]}`{streamed})"
