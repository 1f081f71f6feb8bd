"""What puts a change of the desired state back, and how much of it still is the fault's.

Standard library only: an agent carries it out as well.
"""

from collections.abc import Mapping

from harness.platform.undo import PutBack


def patch_of(back: PutBack, found: Mapping[str, object]) -> Mapping[str, object] | None:
    """The patch for an object as it is now: None where its mark is gone.

    What somebody else (a user, an autoscaler, a new release) has set since then is left as it is:
    only the mark is taken away.
    """
    if not is_marked(back, found):
        return None
    mine = holds(found.get("spec", {}), back.made)
    return back.patch if mine else {k: v for k, v in back.patch.items() if k != "spec"}


def is_marked(back: PutBack, found: Mapping[str, object]) -> bool:
    """Whether an object has the fault's label."""
    metadata = found.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, Mapping) else None
    return back.mark in (labels or {})


def holds(found: object, wanted: object) -> bool:
    """Whether what a fault set is still there; containers are found by their names."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(
            holds(_containers(found.get(key)), _containers(value)) if key == "containers"
            else holds(found.get(key), value)
            for key, value in wanted.items()
        )  # fmt: skip
    return bool(found == wanted)


def _containers(items: object) -> dict[object, object]:
    return {each["name"]: each for each in items} if isinstance(items, list) else {}
