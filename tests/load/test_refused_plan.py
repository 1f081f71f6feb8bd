"""A plan that the engine does not take."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from harness.load.plan import LoadPlan
from tests.load.conftest import hear

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("workers", [1, 2])
def test_a_plan_that_the_engine_refuses_ends_the_load_with_its_words(
    plan: LoadPlan, workers: int
) -> None:
    """At once, not when the profile would have ended."""
    first, *others = plan.traffic.requests
    refused = replace(first, headers=(("connection", "close"),))
    traffic = replace(plan.traffic, requests=(refused, *others))
    began = time.monotonic()
    heard = hear(replace(plan, traffic=traffic, workers=workers, probe=False))
    assert time.monotonic() - began < 20
    assert heard.end["conserved"] is False
    assert len(heard.end["errors"]) == workers
    assert "connection is set by the engine" in heard.end["errors"][0]
