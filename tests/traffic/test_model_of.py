"""A User class becomes a checked TrafficModel, or one line with file, class, field and remedy."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness._engine import schedule
from harness.errors import ProfileError, ScenarioError
from harness.traffic import (
    body_contains,
    choice,
    get,
    journey,
    json_pointer,
    post,
    request,
    sequence,
    status,
    uniform,
    uuid,
    zipf,
)
from harness.traffic.build import model_of, to_engine
from harness.traffic.profiles import resolve_profile


def user(**attributes: Any) -> type:
    """A User class as a scenario declares it, without Locust."""
    return type("ShopUser", (), {"service": "cumparai", "mix": [get("/")], **attributes})


def refusal(**attributes: Any) -> str:
    """The line with which `model_of` refuses."""
    with pytest.raises(ScenarioError) as caught:
        model_of(user(**attributes), "scenarios/shop.py", "shop")
    line = str(caught.value)
    assert "\n" not in line
    return line


class Walker:
    """A User with everything."""

    service = "cumparai"
    feeds = {"id": zipf(10), "unused": uuid()}  # noqa: RUF012 - as scenarios are written
    mix = [get("/a/{id}", weight=3)]  # noqa: RUF012

    @journey(weight=0.5)
    def look_then_buy(self) -> None:
        """Two steps."""

    @journey(name="come back")
    def again(self) -> None:
        """Another."""


def test_a_class_becomes_its_model() -> None:
    """Mix, feeds and journeys; file and name come from the class unless told."""
    model = model_of(Walker)
    assert (model.service, model.scenario, model.source) == ("cumparai", "test_model_of", __file__)
    assert [item.path for item in model.requests] == ["/a/{id}"]
    assert {(j.name, j.method, j.weight) for j in model.journeys} == {
        ("look then buy", "look_then_buy", 0.5),
        ("come back", "again", 1.0),
    }
    assert set(model.feeds) == {"id", "unused"}


def test_journeys_alone_are_traffic() -> None:
    """A mix is not needed then."""
    assert model_of(user(mix=[], go=journey()(lambda self: None)), "s.py").requests == ()


@pytest.mark.parametrize(
    ("attributes", "line"),
    [
        ({"service": ""}, "ShopUser.service is ''"),
        ({"service": 3}, "ShopUser.service is 3"),
        ({"mix": []}, "ShopUser has no mix; declare mix"),
        ({"mix": None}, "ShopUser.mix is not a list of requests"),
        ({"mix": get("/")}, "ShopUser.mix is not a list of requests"),
        ({"mix": ["/"]}, "ShopUser.mix is not a list of requests"),
        ({"feeds": [uuid()]}, "ShopUser.feeds is not a dict of feeds"),
        ({"feeds": {"id": 3}}, "ShopUser.feeds is not a dict of feeds"),
        ({"mix": [get("/"), get("/")]}, 'ShopUser.mix: the name "GET /" is empty or used twice'),
        ({"mix": [get("/", name="")]}, 'ShopUser.mix: the name "" is empty'),
        ({"mix": [get("/", name=3)]}, "ShopUser.mix[0].name: "),  # type: ignore[arg-type]
        ({"mix": [get("api")]}, "ShopUser.mix[0].path: "),
        ({"mix": [get("")]}, "ShopUser.mix[0]"),
        ({"mix": [get("/a b")]}, "ShopUser.mix[0]: path is '/a b'"),
        ({"mix": [get("/a\r\nx: y")]}, "ShopUser.mix[0]: path is "),
        ({"mix": [get(None)]}, "ShopUser.mix[0]: path is None"),  # type: ignore[arg-type]
        ({"mix": [get("/#top")]}, "ShopUser.mix[0].path: "),
        ({"mix": [get("/{id}")]}, 'ShopUser.mix[0].path: there is no feed "id"'),
        ({"mix": [get("/{")]}, "ShopUser.mix[0].path: a lone brace"),
        ({"mix": [post("/", body='{"a": 1}')]}, "ShopUser.mix[0].body: a lone brace"),
        ({"mix": [get("/", headers={"a b": "c"})]}, 'mix[0].headers[0]: "a b" is not a header'),
        ({"mix": [get("/", headers={"a": "c\n"})]}, "mix[0].headers[0]: "),
        ({"mix": [get("/", headers={"a": "{id}"})]}, 'mix[0].headers[0]: there is no feed "id"'),
        ({"mix": [request("FETCH", "/")]}, "mix[0]: method is 'FETCH'; it must be one of GET"),
        ({"mix": [request("get", "/")]}, "mix[0]: method is 'get'"),
        ({"mix": [get("/", timeout_s=0)]}, "mix[0]: timeout_s is 0"),
        ({"mix": [get("/", timeout_s=math.nan)]}, "mix[0]: timeout_s is nan"),
        ({"mix": [get("/", timeout_s=1e9)]}, "mix[0].timeout_s: "),
        ({"mix": [get("/", checks=[json_pointer("id")])]}, 'checks[0]: the pointer "id" does not'),
        ({"mix": [get("/", checks=[status()])]}, "mix[0].checks[0]: no status is allowed"),
        ({"mix": [get("/", checks=[status(42)])]}, "mix[0].checks[0]: 42 is not a status"),
        ({"mix": [get("/", checks=[{"kind": "sql"}])]}, "mix[0].checks[0].kind: unknown"),
        ({"mix": [get("/", checks=[body_contains("{x}")])]}, 'there is no feed "x"'),
        ({"mix": [get("/", checks=[json_pointer("/a", equals=math.nan)])]}, "is NaN or infinite"),
        ({"feeds": {"id": zipf(0)}}, "ShopUser.feeds.id.n: 0 is not"),
        ({"feeds": {"id": zipf(10, s=-1)}}, "ShopUser.feeds.id.s: -1"),
        ({"feeds": {"id": zipf(10, s=math.nan)}}, "is NaN or infinite"),
        ({"feeds": {"id": uniform(9, 1)}}, "ShopUser.feeds.id: low 9 is above high 1"),
        ({"feeds": {"id": choice([])}}, "ShopUser.feeds.id.values: empty"),
        ({"feeds": {"id": choice(["a"], [1, 2])}}, "ShopUser.feeds.id.weights: 2 weights for 1"),
        ({"feeds": {"id": choice(["a"], [0])}}, "ShopUser.feeds.id.weights: 0 is not a weight"),
        ({"feeds": {"id": sequence(2**70)}}, "ShopUser.feeds.id"),
        ({"feeds": {"id": {"kind": "lottery"}}}, "ShopUser.feeds.id.kind: unknown"),
    ],
)
def test_what_makes_no_sense_is_named_with_its_place(attributes: dict[str, Any], line: str) -> None:
    """File, class and field, in the author's words and not in the engine's."""
    told = refusal(**attributes)
    assert told.startswith("scenarios/shop.py: ShopUser")
    assert line in told
    assert "plan field" not in told
    assert "column" not in told


@pytest.mark.parametrize("weight", [0, -1, math.nan, math.inf, -math.inf, "3", None, True])
def test_a_weight_that_is_none_is_refused_for_requests_and_journeys(weight: Any) -> None:
    """Zero, below, not a number, not finite, not even a figure."""
    assert f"mix[0]: weight is {weight!r}" in refusal(mix=[get("/", weight=weight)])
    walk = journey(weight=weight)(lambda self: None)
    assert f"ShopUser.go: weight is {weight!r}" in refusal(go=walk)


@pytest.mark.parametrize(
    ("attributes", "line"),
    [
        ({"wait_time": lambda self: 1}, "ShopUser.wait_time would never be used"),
        ({"tasks": [print]}, "ShopUser: @task of tasks would never run"),
        ({"on_start": lambda self: None}, "ShopUser.on_start would never run"),
        ({"on_stop": lambda self: None}, "ShopUser.on_stop would never run"),
    ],
)
def test_what_locust_would_call_and_nothing_here_does_is_refused(
    attributes: dict[str, Any], line: str
) -> None:
    """By its name; on_start and on_stop belong to journeys."""
    assert line in refusal(**attributes)
    walk = journey()(lambda self: None)
    if "on_st" in line:
        assert model_of(user(mix=[], go=walk, **attributes), "s.py").journeys
    else:
        assert line in refusal(go=walk, **attributes)


def test_a_task_is_refused_by_its_name() -> None:
    """As Locust's decorator marks it."""
    browse = lambda self: None  # noqa: E731 - a method
    browse.locust_task_weight = 3  # type: ignore[attr-defined]
    assert "ShopUser: @task browse would never run; mark it with @journey" in refusal(browse=browse)


def test_a_request_and_a_journey_must_not_share_a_name() -> None:
    """The report could not tell them apart."""
    walk = journey(name="buy")(lambda self: None)
    assert '"buy" is empty or used twice' in refusal(mix=[get("/", name="buy")], go=walk)


def test_a_closed_model_takes_no_journeys() -> None:
    """Told before anything is started."""
    model = model_of(Walker)
    with pytest.raises(ProfileError, match="a closed model sends requests only"):
        to_engine(model, resolve_profile("smoke", users=3))


def test_the_plan_holds_what_the_contract_says() -> None:
    """The engine's document, but for targets and bounds."""
    model = model_of(user(mix=[get("/a", checks=[status(200)])], feeds={"id": uuid()}), "s.py")
    plan = to_engine(model, resolve_profile("constant", rate=10, duration=2, seed=7))
    assert plan == {
        "seed": 7,
        "arrivals": {
            "kind": "profile",
            "spacing": "constant",
            "segments": [{"duration_s": 2, "from_rate": 10, "to_rate": 10}],
        },
        "requests": [
            {
                "name": "GET /a",
                "weight": 1.0,
                "method": "GET",
                "path": "/a",
                "headers": [],
                "body": None,
                "timeout_s": 10.0,
                "log": False,
                "checks": [{"kind": "status", "in": [200]}],
                "capture": {},
                "think_s": 0.0,
                "stream": None,
            }
        ],
        "chains": [],
        "journeys": [],
        "feeds": {"id": {"kind": "uuid"}},
    }


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
texts = st.text("ab/{} \n\"'é#?%&=", max_size=12)
requests = st.builds(
    get,
    texts.map("/".__add__),
    name=names,
    weight=st.floats() | st.integers(-1, 3),
    body=st.none() | texts,
    headers=st.dictionaries(st.text("abc-: ", max_size=4), texts, max_size=2),
    timeout_s=st.floats(),
    checks=st.lists(
        st.builds(status, st.integers(0, 1100))
        | st.builds(body_contains, texts)
        | st.builds(json_pointer, texts, equals=st.none() | st.floats() | texts),
        max_size=2,
    ),
)
feeds = st.dictionaries(
    st.sampled_from("ab"),
    st.builds(zipf, st.integers(), st.floats())
    | st.builds(uniform, st.integers(), st.integers())
    | st.builds(sequence, st.integers(), st.integers())
    | st.builds(choice, st.lists(texts, max_size=3), st.none() | st.lists(st.floats(), max_size=3)),
)


@settings(max_examples=300, deadline=None)
@given(mix=st.lists(requests, max_size=3), drawn=feeds)
def test_whatever_is_declared_is_refused_in_a_line_or_accepted_by_the_engine(
    mix: list[Any], drawn: dict[str, Any]
) -> None:
    """Nothing that passes here fails once the lab is up."""
    try:
        model = model_of(user(mix=mix, feeds=drawn), "s.py")
    except ScenarioError as error:
        assert str(error).startswith("s.py: ShopUser")  # noqa: PT017 - either outcome is right
        assert "\n" not in str(error)  # noqa: PT017
        return
    plan = to_engine(model, resolve_profile("constant", rate=5, duration=1))
    assert len(schedule(json.dumps({**plan, "targets": ["http://h"]}), 100)) == 5
