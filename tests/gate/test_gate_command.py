"""`harness gate` on stored runs: exit codes, reports that are never stale, refusals that list."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from harness.baseline import BaselineStore, Conditions
from harness.catalog.model import Objective
from harness.cli import run
from harness.cli.gate import CONDITIONS
from harness.errors import NoBaseline
from harness.gate import Policy
from harness.gate.rules import parse_rule
from harness.gate.run import gate_runs
from harness.record import RunRecord, find_run
from tests.record.synthetic import Made, plan, record, service

HOLD_S = 10.0
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records: eight sound ones, one late, one of other connections, three slow."""
    root = tmp_path_factory.mktemp("results")
    names = {}
    short = plan(hold_s=HOLD_S)
    for seed in range(1, 9):
        names[f"ok{seed}"] = record(root, Made(short, seed=seed)).id
    for seed in range(1, 4):
        names[f"slow{seed}"] = record(root, Made(short, seed=20 + seed, median_s=0.02)).id
    names["late"] = record(root, Made(short, seed=30, lag_s=0.05)).id
    names["cut"] = record(root, Made(short, seed=31, end=None, stop_at=12)).id
    other = replace(short, connections_per_target=7)
    names["other"] = record(root, Made(other, seed=32)).id
    (root / "names.json").write_text(json.dumps(names))
    return root


@pytest.fixture
def names(results: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((results / "names.json").read_text())
    return found


@pytest.fixture(scope="module")
def accepted(tmp_path_factory: pytest.TempPathFactory, results: Path) -> Path:
    """A store with the first five of the sound runs."""
    root = tmp_path_factory.mktemp("accepted")
    names = json.loads((results / "names.json").read_text())
    kept = [RunRecord.load(find_run(results, names[f"ok{n}"])) for n in range(1, 6)]
    BaselineStore(root).accept(kept, even_failed=True)
    return root


@pytest.fixture
def store(tmp_path: Path, accepted: Path) -> BaselineStore:
    shutil.copytree(accepted, tmp_path / "baselines")
    return BaselineStore(tmp_path / "baselines")


class Gate:
    """The command on one set of records and baselines; `code`, `verdict`, `suite` of the last."""

    def __init__(self, results: Path, root: Path) -> None:
        self.output = root / "gate"
        self._common = [
            *("--results", str(results), "--baselines", str(root / "baselines")),
            *("--output", str(self.output)),
        ]

    def __call__(self, *words: str) -> int:
        """Run it; the exit code."""
        return run(["gate", "memorai", *words, *self._common])

    @property
    def verdict(self) -> dict[str, object]:
        """gate.json of the last."""
        found: dict[str, object] = json.loads((self.output / "gate.json").read_text())
        return found

    @property
    def bad_cases(self) -> int:
        """Failures and errors in gate.xml of the last."""
        suite = ET.parse(self.output / "gate.xml").getroot().find("testsuite")  # noqa: S314
        assert suite is not None
        return int(suite.get("failures", "0")) + int(suite.get("errors", "0"))


@pytest.fixture
def gate(results: Path, tmp_path: Path) -> Gate:
    return Gate(results, tmp_path)


def test_slow_runs_fail_with_their_provenance(
    gate: Gate, store: BaselineStore, names: dict[str, str]
) -> None:
    assert store.all()
    assert gate(*(names[f"slow{n}"] for n in (1, 2, 3))) == 1
    assert gate.bad_cases >= 1
    assert (gate.output / "exit-code").read_text() == "1\n"
    source = gate.verdict["provenance"]
    assert isinstance(source, dict)
    assert source["created"]
    assert source["conditions"]["kernel"] == "Linux 6.1"
    assert gate.verdict["candidate_runs"] == sorted(names[f"slow{n}"] for n in (1, 2, 3))


def test_one_slow_run_is_in_doubt(gate: Gate, store: BaselineStore, names: dict[str, str]) -> None:
    assert store.all()
    assert gate(names["slow1"]) == 3
    assert gate.bad_cases >= 1
    assert any("suspected" in str(reason) for reason in gate.verdict["reasons"])  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["late", "cut"])
def test_a_candidate_that_cannot_be_trusted_is_invalid(
    gate: Gate, store: BaselineStore, names: dict[str, str], name: str
) -> None:
    assert store.all()
    assert gate(names[name]) == 4
    assert gate.verdict["outcome"] == "invalid"
    assert gate.bad_cases == 1
    assert "0 runs" not in (gate.output / "gate.md").read_text()


def test_without_a_baseline_the_command_that_makes_one_is_named_and_old_reports_are_gone(
    gate: Gate, names: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    gate.output.mkdir()
    for name in ("gate.json", "gate.xml", "gate.md", "gate.svg"):
        (gate.output / name).write_text("PASS")
    assert gate(names["ok6"], "--rate", "50", "--connections", "9") == 5
    printed = capsys.readouterr().out
    assert "NO-BASELINE" in printed
    command = " ".join(printed.split()).partition("conditions: ")[2].partition(" (or")[0]
    words = shlex.split(command)
    assert words[:4] == ["harness", "baseline", "make", "memorai"]
    for pair in (["--rate", "50.0"], ["--connections", "9"], ["--runs", "10"]):
        assert pair == words[words.index(pair[0]) : words.index(pair[0]) + 2]
    assert "--baselines" in words
    assert "--output" not in words
    assert gate.verdict["outcome"] == "no-baseline"
    assert gate.bad_cases == 1
    assert not (gate.output / "gate.svg").exists()


def test_a_baseline_without_any_run_left_is_no_baseline(
    store: BaselineStore, results: Path, names: dict[str, str]
) -> None:
    path = next(store.root.glob("memorai/*.json"))
    document = json.loads(path.read_text())
    document["baselines"][0]["runs"] = []
    path.write_text(json.dumps(document))
    with pytest.raises(NoBaseline, match="no run left"):
        gate_runs("memorai", [RunRecord.load(find_run(results, names["ok6"]))], store, Policy())


def test_a_run_of_other_options_is_refused_and_told_what_differs_unless_ignored(
    gate: Gate, store: BaselineStore, names: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert store.all()
    assert gate(names["other"]) == 5
    printed = " ".join(capsys.readouterr().out.split())
    assert "connections 7, in flight 20000 here" in printed
    assert gate(names["other"], "--ignore", "generator") in {0, 3}
    assert "compared although they differ (--ignore): generator" in " ".join(
        capsys.readouterr().out.split()
    )
    assert "differ" in (gate.output / "gate.md").read_text()


def test_every_condition_can_be_ignored() -> None:
    assert set(CONDITIONS) == {item.name for item in fields(Conditions)}


@pytest.mark.parametrize(
    "words",
    [("no-such-run",), ("latest", "--row", "p95"), ("latest", "--time-budget", "5m"),
     ("latest", "--alpha", "0.9"), ("latest", "--bogus"), ("--bogus", "latest"),
     ("latest", "--margin", "much"), ("latest", "--margin"),
     ("latest", "--runs", "7"), ("latest", "--time-budget", "1m"),
     ("--target", "http://127.0.0.1:9", "--interleave", "http://127.0.0.1:8",
      "--time-budget", "5m")],
)  # fmt: skip
def test_a_gate_that_cannot_be_asked_leaves_an_error_and_no_old_pass(
    gate: Gate, store: BaselineStore, words: tuple[str, ...]
) -> None:
    assert store.all()
    gate.output.mkdir()
    (gate.output / "gate.xml").write_text("PASS")
    assert gate(*words) == 2
    assert gate.verdict["outcome"] == "error"
    assert gate.bad_cases == 1


def test_rules_of_the_command_line_win_over_the_catalogues(
    results: Path, store: BaselineStore, names: dict[str, str]
) -> None:
    asked = replace(service(), gate=("total:p50=shown", "total:p99=shown"))
    made = [
        replace(RunRecord.load(find_run(results, names[f"ok{n}"])), service=asked)
        for n in (6, 7, 8)
    ]
    verdict = gate_runs("memorai", made, store, Policy(rules=(parse_rule("total:p99=gates"),)))
    roles = {row.metric: row.role for row in verdict.rows if row.endpoint == "*"}
    assert (roles["p50"], roles["p99"]) == ("shown", "gates")


def test_objectives_for_streams_are_named_as_not_compared(
    results: Path, store: BaselineStore, names: dict[str, str]
) -> None:
    goodput = Objective("goodput", "goodput", 0.95)
    records = [RunRecord.load(find_run(results, names[f"ok{n}"])) for n in (6, 7, 8)]
    said = "goodput: objectives for streams are not compared; harness perf judges them"
    assert said not in gate_runs("memorai", records, store, Policy()).warnings
    asked = [replace(each, service=service((goodput,))) for each in records]
    assert said in gate_runs("memorai", asked, store, Policy()).warnings


def test_a_wrong_word_makes_no_report_where_none_was(gate: Gate) -> None:
    assert gate("latest", "--bogus") == 2
    assert not gate.output.exists()


def test_through_make_the_exit_code_is_in_a_file(
    results: Path, names: dict[str, str], tmp_path: Path
) -> None:
    """`make` itself ends with 2 whatever its command returned."""
    words = f"{names['ok6']} --results {results} --baselines {tmp_path} --output {tmp_path / 'out'}"
    shell = f"make -o .venv/.ready gate SERVICE=memorai PY={sys.executable} ARGS='{words}'"
    shell += f' || exit "$(cat {tmp_path / "out" / "exit-code"})"'
    done = subprocess.run(["bash", "-c", shell], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 5, done.stderr
