"""More names of endpoints than a table can be read with are grouped by template."""

from __future__ import annotations

from dataclasses import replace

from harness.traffic import Audit, get, post, sequence
from harness.traffic.build import model_of
from harness.traffic.declared import Declared
from harness.traffic.endpoints import MOST_ENDPOINTS, OTHERS, Endpoints, shown_as
from harness.traffic.model import Request, TrafficModel


def test_names_beyond_the_bound_are_grouped_by_template() -> None:
    """The first stay as they are, and so do those that were grouped; a query is no name."""
    names = Endpoints()
    first = [names.of(f"/orders/{number}") for number in range(200)]
    assert first[7] == "/orders/7"
    assert MOST_ENDPOINTS == 200
    later = {names.of(f"/orders/{number}?x={number}") for number in range(200, 900)}
    assert later == {"/orders/{orders_id}"}
    assert names.of("/orders/7") == "/orders/7"
    assert names.of("/orders/{orders_id}") == "/orders/{orders_id}"
    assert names.of("log in") == "log in"
    assert names.of("GET /items/{item}/8") == "GET /items/{item}/{item_id}"


def test_templates_are_bounded_as_well() -> None:
    names = Endpoints()
    found = [names.of(f"/{letter}{number}x") for letter in "ab" for number in range(500)]
    assert len(set(found)) == 2 * MOST_ENDPOINTS + 1
    assert found[-1] == OTHERS


def _model(mix: list[Request], **fields: object) -> TrafficModel:
    return model_of(type("Many", (Declared,), {"service": "shop", "mix": mix, **fields}))


def test_declared_names_beyond_the_bound_count_into_one_row_by_template() -> None:
    """Whatever is read back must be found under its own name."""
    mix = [get(f"/orders/{number}?x={number}") for number in range(600)]
    mix.append(post("/orders/7", name="create 7"))
    audit = Audit(write="create 7", id="n", read="/orders/{id}")
    shown = shown_as(_model(mix, feeds={"n": sequence()}, audit=audit))
    names = list(shown.values())
    assert list(shown) == [each.name for each in mix]
    assert names[:200] == list(shown)[:200]
    assert {*names[200:600]} == {"GET /orders/{orders_id}"}
    assert names[600] == "create 7"


def test_a_grouped_row_stays_one_of_its_population() -> None:
    words = [f"{a}{b}" for a in "abcdefghijklmnopqrstuvwxyz" for b in "abcdefghijklmnopqrstuvwxyz"]
    crawler = _model([get(f"/{word}", name=f"crawler/{word}") for word in words])
    first = replace(_model([get("/", name="main/home")]), population="main")
    shown = shown_as(replace(first, others=(replace(crawler, population="crawler"),)))
    assert shown["main/home"] == "main/home"
    assert {name.partition("/")[0] for name in shown.values()} == {"main", "crawler"}
    assert f"crawler/{OTHERS}" in shown.values()
