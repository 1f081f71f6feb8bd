"""Names of endpoints that Python's clients give: those beyond a bound are grouped by template."""

from __future__ import annotations

from harness.traffic.imports.seen import split_path

MOST_ENDPOINTS = 200
"""As many as a table can be read with; a client without `name=` makes one of each URL."""

OTHERS = "(others)"


class Endpoints:
    """The names of one process."""

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
        template, _, _ = split_path(name.partition("?")[0])
        if template not in self._grouped and len(self._grouped) >= MOST_ENDPOINTS:
            return OTHERS
        self._grouped.add(template)
        return template
