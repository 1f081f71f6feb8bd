"""What a scenario may say with `@setup`."""

from __future__ import annotations

from typing import Any

import pytest

from harness.errors import ScenarioError
from harness.traffic import get, json_value, post, setup
from harness.traffic.build import model_of, to_engine
from harness.traffic.model import LoadProfile, Segment, Setup

PROFILE = LoadProfile("p", (Segment("hold", 1.0, 1.0, 1.0),))


class User:
    """Logs in before the load."""

    service = "memorai"
    mix = [  # noqa: RUF012 - as scenarios are written
        get("/me", headers={"authorization": "Bearer {token}"}),
        post("/form", form={"t": "{token}"}, name="form"),
        post("/json", json_body={"id": json_value("id")}, name="json"),
    ]

    @setup("token", "id", refresh="10m")
    def log_in(self) -> dict[str, Any]:
        """The token and the id."""
        return {"token": "a", "id": 7}


def test_a_setup_hook_declares_given_feeds_that_are_secret() -> None:
    """Their values are not there before the load."""
    model = model_of(User)
    assert model.setups == (Setup("log_in", ("token", "id"), 600.0),)
    given = {"kind": "given", "secret": True}
    assert model.feeds == {"token": given, "id": given}
    assert model.requests[1].body == "t={token}"
    assert model.journeys_digest is not None
    assert to_engine(model, PROFILE)["feeds"]["token"] == {"kind": "given"}


@pytest.mark.parametrize(
    ("names", "refresh", "problem"),
    [
        ((), None, "names no feed"),
        (("a",), "soon", "refresh"),
        (("a",), "0.1s", "give 1s or more"),
        (("b",), None, "the feed b is given twice"),
        (("a", "a"), None, "the feed a is given twice"),
    ],
)
def test_a_setup_hook_that_cannot_be_is_refused(
    names: tuple[str, ...], refresh: str | None, problem: str
) -> None:
    """In one line."""
    with pytest.raises(ScenarioError, match=problem):
        model_of(_with(names, refresh))


def _with(names: tuple[str, ...], refresh: str | None) -> type[object]:
    hook: Any = setup(*names, refresh=refresh)(lambda _: {})
    found = {"service": "memorai", "feeds": {"b": {"kind": "uuid"}}, "mix": [get("/")], "h": hook}
    return type("Wrong", (), found)
