"""Names of endpoints: those beyond a bound are grouped by template."""

from harness.traffic.imports.seen import split_path
from harness.traffic.model import TrafficModel

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
