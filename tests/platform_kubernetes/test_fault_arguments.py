"""What a cluster does not take from a fault's arguments is said, never dropped in silence."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from harness.chaos.experiment import experiment_names, load_experiment
from harness.errors import PlatformError
from harness.platform.kubernetes.faults import KINDS, OTHERWISE, TAKES, View, otherwise, resolve
from harness.platform.model import Fault

ROOT = Path(__file__).resolve().parents[2]


def test_an_argument_that_nobody_knows_is_refused_before_the_cluster_is_asked() -> None:
    nobody = cast("View", None)
    with pytest.raises(PlatformError, match=r"kill-replicas: no argument 'cuont'.*region, count"):
        resolve(Fault("kill-replicas", {"cuont": 1}), nobody)


def test_an_argument_of_the_lab_alone_is_told_with_what_happens_instead() -> None:
    (said,) = otherwise(Fault("kill-replicas", {"count": 1, "hold": True}))
    assert said == (
        "kill-replicas: hold=True is not kept: its controller starts another pod at once"
    )
    assert otherwise(Fault("kill-replicas", {"count": 1, "hold": False})) == ()


def test_every_experiment_can_be_told_to_a_cluster() -> None:
    """Its arguments are taken, or stand among those that are explained."""
    assert set(TAKES) == set(KINDS)
    for name in experiment_names(ROOT):
        for fault in load_experiment(name, ROOT, platform="kubernetes").faults:
            if fault.kind in TAKES:
                known = {*TAKES[fault.kind], *OTHERWISE.get(fault.kind, {})}
                assert set(fault.arguments) <= known, name
