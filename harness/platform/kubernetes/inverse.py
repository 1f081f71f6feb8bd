"""What puts a change of the desired state back, and how much of it still is the fault's.

Standard library only: an agent carries it out as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]


def patch_of(back: Json, found: Json) -> Json | None:
    """The patch for an object as it is now: None where its mark is gone.

    What somebody else (a user, an autoscaler, a new release) has set since then is left as it is:
    only the mark is taken away.
    """
    if back["mark"] not in (found.get("metadata", {}).get("labels") or {}):
        return None
    mine = "set" not in back or holds(found.get("spec", {}), back["set"])
    patch: Json = back["patch"]
    return patch if mine else {key: value for key, value in patch.items() if key != "spec"}


def holds(found: Any, wanted: Any) -> bool:
    """Whether what a fault set is still there; containers are found by their names."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(
            holds(_containers(found.get(key)), _containers(value)) if key == "containers"
            else holds(found.get(key), value)
            for key, value in wanted.items()
        )  # fmt: skip
    return bool(found == wanted)


def _containers(items: Any) -> Any:
    return {each["name"]: each for each in items or ()}
