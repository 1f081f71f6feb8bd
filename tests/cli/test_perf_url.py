"""A first number: a URL and nothing else, or a small project."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness._engine import NullServer
from harness.catalog import project_root
from harness.cli import run
from harness.errors import HarnessError, UsageError
from harness.project import find_project, read_project, slug, url_traffic, usual_options

QUICK = ("--duration", "1s", "--quiet")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_all_that_is_wrong_with_a_project_is_said_at_once(here: Path) -> None:
    """Unknown fields, a URL that is none, objectives that are none, in one line."""
    file = here / "harness.yaml"
    file.write_text("adress: x\nurl: 127.0.0.1\nobjectives: [p95 < 100ms, fast]\nrate: [1]\n")
    with pytest.raises(UsageError) as caught:
        read_project(file)
    for part in ("adress: unknown", "url: give it", "objectives[1]: 'fast'", "rate: not one value"):
        assert part in str(caught.value)


@pytest.mark.parametrize("text", ["", "- url", "url: [", "\x00", "url: ''", "3", "rate: .inf"])
def test_a_file_that_is_no_project_is_one_line(here: Path, text: str) -> None:
    """Empty, a list, broken YAML, no URL."""
    file = here / "harness.yaml"
    file.write_text(text)
    with pytest.raises(HarnessError, match=r"harness\.yaml"):
        find_project()


def test_only_the_url_is_needed_and_the_environment_overrides_the_file(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HARNESS_RATE is stronger than rate; a word on the command line than either."""
    (here / "harness.yaml").write_text("url: http://localhost:1/a\n")
    project = find_project()
    assert project is not None
    assert (project.name, project.objectives, dict(project.options)) == ("localhost-1", (), {})
    (here / "harness.yaml").write_text("url: http://localhost:1/a\nrate: 5\nduration: 3s\n")
    monkeypatch.setenv("HARNESS_RATE", "7")
    assert usual_options(find_project()) == {"rate": "7", "duration_s": "3s"}


def test_loads_of_populations_stand_by_name(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the file a mapping, in the environment NAME=LOAD; what is neither is refused."""
    file = here / "harness.yaml"
    file.write_text("url: http://localhost:1/\npopulations: {crawler: 5/s, batch: 20 users}\n")
    words = usual_options(find_project())["populations"]
    assert words == ["crawler=5/s", "batch=20 users"]
    monkeypatch.setenv("HARNESS_POPULATIONS", "crawler=1/s;batch=2 users think 1s")
    words = usual_options(find_project())["populations"]
    assert words == ["crawler=1/s", "batch=2 users think 1s"]
    for wrong in ("[crawler]", "{crawler: }", "{crawler: [1]}", "5/s"):
        file.write_text(f"url: http://localhost:1/\npopulations: {wrong}\n")
        with pytest.raises(UsageError, match="populations: not a mapping"):
            find_project()


def test_a_directory_that_is_called_services_is_no_catalogue_by_its_name(here: Path) -> None:
    """Any monorepo has one; ours says apiVersion: harness… in a document."""
    inner = here / "project" / "deep"
    (here / "project" / "services").mkdir(parents=True)
    inner.mkdir()
    (here / "project" / "services" / "web.yaml").write_text("apiVersion: v1\nkind: Service\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(inner)
        assert project_root() == Path(__file__).resolve().parents[2]
        ours = here / "project" / "services" / "z.yaml"
        ours.write_text("apiVersion: openslo/v1\n---\napiVersion: harness.codai/v1\n")
        assert project_root() == here / "project"
        ours.unlink()
        (here / "harness.yaml").write_text("url: http://localhost:1\n")
        assert project_root() == here


def test_a_url_is_one_request_that_is_sent_as_it_is_written() -> None:
    """Query and braces included; the name of its directory is host and port."""
    model = url_traffic("x", "http://[::1]:80/a/{b}?q={c}")
    assert [(each.name, each.path) for each in model.requests] == [
        ("GET /a/{b}", "/a/{{b}}?q={{c}}")
    ]
    assert slug("https://user@Shop.example.com:8443/a") == "shop.example.com-8443"
    assert slug("http://[::1]:80") == "1-80"


def test_init_writes_what_perf_reads_and_overwrites_nothing(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second time it refuses, and names the file."""
    assert run(["init", "http://localhost:1/api/{id}"]) == 0
    project = find_project()
    assert project is not None
    assert project.url == "http://localhost:1/api/{id}"
    assert [each.name for each in project.objectives] == ["p95", "errors"]
    assert project.options["scenario"] == "scenario.py"
    assert run(["init"]) == 2
    assert "harness.yaml is there already" in capsys.readouterr().err
    described = subprocess.run(
        [sys.executable, "-m", "harness.traffic", "describe", "scenario.py"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert '"/api/{{id}}"' in described.stdout


def test_nothing_that_answers_is_no_figure(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 4, one line; without a URL or a project it is a usage error."""
    assert run(["perf", "http://127.0.0.1:9/", "--quiet"]) == 4
    assert "nothing accepts connections there" in capsys.readouterr().err
    assert run(["perf"]) == 2
    assert "harness init URL" in capsys.readouterr().err
    assert run(["perf", "http://u:p@127.0.0.1:9/"]) == 2
    assert run(["perf", "http://127.0.0.1:9/", "--p95", "0s"]) == 2
    assert run(["perf", "http://127.0.0.1:9/", "--errors", "0"]) == 2


@pytest.fixture
def null_server() -> Iterator[str]:
    server = NullServer()
    yield f"http://127.0.0.1:{server.port}"
    server.stop()


@pytest.mark.slow
def test_a_url_gives_figures_and_a_project_a_verdict(
    here: Path, null_server: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """10/s unless told otherwise; nothing is judged where nothing was promised."""
    assert run(["perf", f"{null_server}/api/items", *QUICK]) == 0
    out = capfd.readouterr().out
    assert "NO VERDICT" in out
    assert "GET /api/items" in out
    assert "10 × 200" in out  # noqa: RUF001 - as it is printed
    assert (here / "results").is_dir()
    assert run(["runs"]) == 0
    assert "no verdict" in capfd.readouterr().out
    assert run(["init", null_server]) == 0
    capfd.readouterr()
    run(["perf", *QUICK, "--rate", "20", "--errors", "1%", "--json"])
    verdict = json.loads(capfd.readouterr().out)
    wanted = {each["objective"]["name"]: each["objective"] for each in verdict["objectives"]}
    assert wanted["errors"]["threshold"] == 0.01
    assert wanted["p95"]["threshold"] == 0.1


def test_a_profile_of_its_own_instants_takes_the_place_of_the_files_rate(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else the line would be refused for a rate that nobody wrote on it."""
    (here / "harness.yaml").write_text("url: http://127.0.0.1:1/\nrate: 5\n")
    (here / "instants.txt").write_text("0.1\n0.2\n")
    code = run(["perf", "--profile", "replay:instants.txt", "--quiet"])
    said = capsys.readouterr().err
    assert "leave out the rate" not in said
    assert code == 4, said


@pytest.mark.parametrize("words", [("--duration", "0.5s"), ("--stages", "0.9s:100")])
def test_a_hold_without_a_whole_second_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    """Its requests would be in no figure; before anything is asked."""
    assert run(["perf", "http://127.0.0.1:1/", *words]) == 2
    assert "figures are of whole seconds; give --duration 1s" in capsys.readouterr().err


def test_a_service_whose_url_has_no_port_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Wherever it is named, not only as the first argument of perf."""
    words = ["gameday", "--experiments", "kill-replica", "--service", "http://127.0.0.1:99999/"]
    assert run(words) == 2
    assert "99999" in capsys.readouterr().err


def test_a_path_with_a_nul_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No command line can hold one, a file of options can."""
    (here / "harness.yaml").write_text('url: http://127.0.0.1:1/\nresults: "a\\0b"\n')
    assert run(["perf", "--quiet"]) == 2
    assert "NUL" in capsys.readouterr().err


@pytest.mark.parametrize("output", ["", "nowhere/x.py"])
def test_an_import_into_no_place_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    """An empty name, and a directory that is not there."""
    (here / "requests.sh").write_text("curl http://127.0.0.1:1/a\n")
    assert run(["import", "curl", "requests.sh", f"--output={output}"]) == 2
    assert capsys.readouterr().err.startswith("harness: ")
