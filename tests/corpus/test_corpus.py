"""Whatever a user or a file says, a command ends with a documented code and one line, no crash.

Each case is made valid (it must be taken), invalid (it must be refused in one line) or neither for
certain. `make proofs ARGS=corpus` runs thousands.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from tests.corpus.cases import Case, cases, problem_of
from tests.corpus.project import Project, project


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with project(tmp_path_factory.mktemp("project")) as found:
        yield found


@settings(
    max_examples=100, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(cases())
def test_every_case_is_taken_or_refused_in_one_line(made: Project, case: Case) -> None:
    ended = case.run(made)
    problem = problem_of(case, ended)
    assert problem is None, f"{problem}: exit code {ended.code}: {ended.said[-2_000:]}"
