"""Scenario files are imported in a child; what is wrong with one is a line with its place."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.catalog import Service, load_catalog
from harness.errors import ScenarioError
from harness.traffic.model import TrafficModel
from harness.traffic.scenario import load_model, scenario_environment, scenario_names

ROOT = Path(__file__).resolve().parents[2]
HEAD = "from harness.traffic import *\nfrom harness.traffic.user import TrafficUser\n"
USER = "class U(TrafficUser):\n    service = 'memorai'\n    mix = [get('/')]\n"


@pytest.fixture(scope="module")
def memorai() -> Service:
    return load_catalog(ROOT / "services").service("memorai")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "scenarios").mkdir()
    return tmp_path


def write(project: Path, text: str, name: str = "memorai") -> Path:
    path = project / "scenarios" / f"{name}.py"
    path.write_text(text)
    return path


def refusal(service: Service, scenario: str | None, root: Path) -> str:
    with pytest.raises(ScenarioError) as caught:
        load_model(service, scenario, root)
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x = [1,\ny = 2\n", ":1: '[' was never closed; mend the Python syntax"),
        ("def f():\nreturn 1\n", ":2: expected an indented block"),
        ("x = '\x00'\n", ": source code string cannot contain null bytes"),
        ("import json\n\n1 / 0\n", ":3: ZeroDivisionError: division by zero"),
        ("import no_such_module\n", ":1: ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise ValueError('two\\nlines')\n", ":1: ValueError: two lines"),
        ("raise SystemExit(3)\n", ":1: SystemExit: 3"),
        ("import os\nos._exit(7)\n", ": it ended the process without a word (exit code 7)"),
        ("import os\nos.abort()\n", "(exit code -6)"),
        ("", ": it must hold TrafficUser classes, or users of Locust, found none"),
        (HEAD, ": it must hold TrafficUser classes, or users of Locust, found none"),
        (
            HEAD + USER + USER.replace("U(", "V("),
            "populations without a load: U, V; one follows the profile of the run",
        ),
        ("import locust\nclass U(locust.User):\n    pass\n", ": U has no tasks; mark a method"),
        (HEAD + USER.replace("get('/')", ""), ": U has no mix; declare mix"),
        (HEAD + USER.replace("get('/')", "get('/', weight=0)"), "U.mix[0]: weight is 0"),
        (HEAD + "x = csv_column('none.csv', 'id')\n", ":3: "),
        (HEAD + USER.replace("memorai", "codai"), "its service is 'codai', not 'memorai'"),
    ],
)
def test_a_scenario_that_cannot_be_used_is_told_in_one_line(
    memorai: Service, project: Path, text: str, problem: str
) -> None:
    """Syntax, exceptions, ends of the process, no User, several, no mix, another's service."""
    path = write(project, text)
    told = refusal(memorai, None, project)
    assert told.startswith(str(path))
    assert problem in told


def test_a_scenario_may_print_and_import_its_neighbours(memorai: Service, project: Path) -> None:
    """As under `locust -f`."""
    write(project, "PATH = '/api/stats'\n", "_shared")
    noise = "import atexit\natexit.register(print, '{\"problem\": not JSON')\nprint('{}')\n"
    text = "from _shared import PATH\n" + noise + HEAD + USER
    write(project, text.replace("get('/')", "get(PATH)"))
    model = load_model(memorai, None, project)
    assert [item.path for item in model.requests] == ["/api/stats"]
    assert scenario_names(project) == ("memorai",)


def test_an_abstract_base_class_is_no_second_user(memorai: Service, project: Path) -> None:
    """Teams share them."""
    base = "class Base(TrafficUser):\n    abstract = True\n    service = 'memorai'\n"
    write(project, HEAD + base + USER.replace("TrafficUser", "Base"))
    assert load_model(memorai, None, project).service == "memorai"


def test_a_scenario_is_found_by_name_with_suffix_or_by_path(
    memorai: Service, project: Path
) -> None:
    """And an unknown one suggests the nearest."""
    path = write(project, HEAD + USER, "evening")
    for word in ("evening", "evening.py", str(path)):
        assert load_model(memorai, word, project).scenario == "evening"
    told = refusal(memorai, "evenings", project)
    assert told == "no scenario 'evenings'; did you mean evening? scenarios/ holds evening"
    assert "no such file, and no crud.py" in refusal(memorai, None, project)


def test_a_scenario_that_does_not_come_back_is_ended(
    memorai: Service, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command must not hang on a team's code."""
    monkeypatch.setattr("harness.traffic.scenario.TIMEOUT_S", 2.0)
    write(project, "import time\ntime.sleep(60)\n")
    assert "importing it took more than 2 s" in refusal(memorai, None, project)


def test_the_child_says_how_it_is_called() -> None:
    """One word and one file."""
    child = subprocess.run(
        [sys.executable, "-m", "harness.traffic", "memorai"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (child.returncode, child.stdout) == (2, "")
    assert child.stderr.startswith("usage: ")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "HARNESS_SERVICE is not set; set it to the name of a service"),
        ("memoray", "no service 'memoray'; did you mean memorai?"),
        ('{"name": 3}', "HARNESS_SERVICE is not a catalogue entry"),
    ],
)
def test_the_generic_scenario_asks_which_service_it_stands_for(value: str, problem: str) -> None:
    """By name under plain Locust."""
    answer = describe_crud(value)
    assert problem in answer["problem"] + "; " + answer["remedy"]
    assert describe_crud("hub")["service"] == "hub"


def describe_crud(value: str) -> dict[str, str]:
    child = subprocess.run(
        [sys.executable, "-m", "harness.traffic", "describe", "scenarios/crud.py"],
        capture_output=True,
        cwd=ROOT,
        env={"HARNESS_SERVICE": value, "PATH": "/usr/bin:/bin"},
        check=False,
    )
    found: dict[str, str] = json.loads(child.stdout)
    return found


def test_the_generic_scenario_takes_only_what_the_routes_allow(memorai: Service) -> None:
    """A service that cannot be written to is only read."""
    from dataclasses import replace  # noqa: PLC0415 - next to its one use

    from harness.catalog.model import Route  # noqa: PLC0415

    routes = (
        Route("/api/a", ("GET",)),
        Route("/api/a/{id}", ("GET", "PATCH")),
        Route("/api/b/{action}", ("POST",)),
    )
    service = replace(memorai, name="readonly", routes=routes)
    model: TrafficModel = load_model(service, "crud", ROOT)
    assert [item.name for item in model.requests] == ["list /api/a", "read /api/a"]


def test_locust_alone_finds_one_user_class_and_the_harness_options() -> None:
    """`locust -f scenarios/memorai.py` opens the same model."""
    listed = subprocess.run(
        [sys.executable, "-m", "locust", "-f", "scenarios/memorai.py", "--list"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    users = [line.strip() for line in listed.stdout.splitlines() if line.startswith(" ")]
    assert users == ["MemoraiUser"]


def test_the_environment_of_a_scenario_names_the_service(memorai: Service) -> None:
    """As the catalogue entry, so that no second reading can differ."""
    assert json.loads(scenario_environment(memorai)["HARNESS_SERVICE"])["port"] == 3001


WALK = """
from harness.traffic import journey
import steps

class W(TrafficUser):
    service = 'memorai'

    @journey(name='walk')
    def walk(self):
        self.client.get(steps.PATH)
"""


def test_a_journey_with_other_code_has_another_digest_and_a_comment_changes_nothing(
    memorai: Service, project: Path
) -> None:
    def digest(text: str, helper: str = "PATH = '/a'\n") -> str | None:
        write(project, helper, "steps")
        write(project, HEAD + text)
        return load_model(memorai, None, project).journeys_digest

    first = digest(WALK)
    assert first is not None
    assert digest(WALK.replace("import steps", "import steps  # where to")) == first
    assert digest(WALK.replace("get(", "post(")) != first
    assert digest(WALK, "PATH = '/b'\n") != first
    assert digest(USER) is None


def test_no_endpoint_of_a_scenario_is_named_by_a_secret(memorai: Service, project: Path) -> None:
    """Neither where the scenario is the service's own nor where it was written for another name."""
    header = "headers={'authorization': 'Bearer zu-geheim-4711'}, name='GET zu-geheim-4711'"
    write(project, HEAD + USER.replace("get('/')", f"get('/', {header})"))
    for of_any in (False, True):
        (request,) = load_model(memorai, None, project, of_any=of_any).requests
        assert "geheim" not in request.name
