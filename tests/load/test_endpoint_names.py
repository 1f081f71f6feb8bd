"""Endpoints that a journey names by their URLs do not fill a record."""

from __future__ import annotations

from harness.load.endpoints import MOST_ENDPOINTS, OTHERS, Endpoints


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


def test_templates_are_bounded_as_well() -> None:
    names = Endpoints()
    found = [names.of(f"/{letter}{number}x") for letter in "ab" for number in range(500)]
    assert len(set(found)) == 2 * MOST_ENDPOINTS + 1
    assert found[-1] == OTHERS
