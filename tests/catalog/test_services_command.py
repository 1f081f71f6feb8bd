"""`harness services` lists the catalogue and shows one entry."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from harness.cli.services import command
from harness.errors import CatalogError


def run(*words: str) -> str:
    result = CliRunner().invoke(command, words, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_the_list_has_a_line_for_each_service() -> None:
    """Under one heading."""
    lines = run().splitlines()
    assert lines[0].split() == ["service", "tier", "app", "port", "replicas", "purpose"]
    assert len(lines) == 30
    assert any(line.startswith("memorai    foundation     yes  3001") for line in lines)


def test_one_service_shows_what_it_promises_and_where_it_runs() -> None:
    """With units, and production marked."""
    text = run("memorai")
    for part in (
        "P95 response time < 100 ms",
        "throughput ≥ 10,000/s",
        "error rate < 0.10 %",
        "availability ≥ 99.99 %",
        "us-east-1 (active)",
        "codai-production.svc.cluster.local:3001  (production)",
        "/api/memory/recall/{id}",
    ):
        assert part in text


def test_json_holds_the_same_for_programs() -> None:
    """One object, or a list of them."""
    assert json.loads(run("memorai", "--json"))["port"] == 3001
    assert len(json.loads(run("--json"))) == 29


def test_an_unknown_service_is_an_error_of_the_user() -> None:
    """With the nearest name."""
    with pytest.raises(CatalogError, match="did you mean memorai"):
        run("memoray")
