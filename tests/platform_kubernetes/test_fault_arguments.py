"""What a cluster does not take from a fault's arguments is said, never dropped in silence."""

from __future__ import annotations

from typing import cast

import pytest

from harness.errors import PlatformError
from harness.faults.registry import ignored
from harness.platform.kubernetes import faults
from harness.platform.kubernetes.faults import on_cluster, resolve
from harness.platform.kubernetes.view import View
from harness.platform.model import Fault


def test_every_kind_that_a_cluster_can_carry_out_is_resolved() -> None:
    assert set(faults._RESOLVERS) == set(on_cluster())


def test_an_argument_that_nobody_knows_is_refused_before_the_cluster_is_asked() -> None:
    nobody = cast("View", None)
    with pytest.raises(PlatformError, match=r"kill-replicas: no argument 'cuont'.*region, count"):
        resolve(Fault("kill-replicas", {"cuont": 1}), nobody)


def test_an_argument_of_the_lab_alone_is_named_with_what_happens_instead() -> None:
    (said,) = ignored("kill-replicas", {"count": 1, "hold": True}, "kubernetes")
    assert said == (
        "kill-replicas: hold=True is not kept: its controller starts another pod at once"
    )
    assert ignored("kill-replicas", {"count": 1, "hold": False}, "kubernetes") == ()
    assert ignored("kill-replicas", {"count": 1, "hold": True}, "lab") == ()
