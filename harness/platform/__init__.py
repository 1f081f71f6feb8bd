"""Where services run: the lab, a cluster or a plain URL, behind one protocol.

Names are imported when they are first used: the lab's own processes live in this package and
must start fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.platform.lab.options import Behaviour, LabOptions, Slowdown
    from harness.platform.lab.platform import Lab
    from harness.platform.model import (
        Fault,
        Observation,
        Platform,
        Proof,
        Region,
        Replica,
        Target,
        Through,
    )
    from harness.platform.names import PLATFORMS
    from harness.platform.registry import attach, make_platform
    from harness.platform.undo import UndoRecord
    from harness.platform.url import Url

_HOMES = {
    "harness.platform.lab.options": ("Behaviour", "LabOptions", "Slowdown"),
    "harness.platform.lab.platform": ("Lab",),
    "harness.platform.model": (
        "Fault",
        "Observation",
        "Platform",
        "Proof",
        "Region",
        "Replica",
        "Target",
        "Through",
    ),
    "harness.platform.undo": ("UndoRecord",),
    "harness.platform.names": ("PLATFORMS",),
    "harness.platform.registry": ("attach", "make_platform"),
    "harness.platform.url": ("Url",),
}

__all__ = [
    "PLATFORMS",
    "Behaviour",
    "Fault",
    "Lab",
    "LabOptions",
    "Observation",
    "Platform",
    "Proof",
    "Region",
    "Replica",
    "Slowdown",
    "Target",
    "Through",
    "UndoRecord",
    "Url",
    "attach",
    "make_platform",
]


def __getattr__(name: str) -> object:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
