"""Real runs on the lab: a complete record, and nothing left whatever is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.catalog import project_root
from tests.prometheus.fake import serving
from tests.verdicts import VERDICTS

ROOT = project_root()
MARK = "HARNESS_TEST_PLACE"
QUICK = (sys.executable, str(ROOT / "tests" / "chaos" / "quick.py"))
Event = dict[str, Any]

pytestmark = pytest.mark.lab


class Place:
    """A directory with a state and a runtime of its own, and everything started in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for part in ("run", "state", "results"):
            (directory / part).mkdir()
        self.environment = {
            **os.environ,
            "XDG_RUNTIME_DIR": str(directory / "run"),
            "XDG_STATE_HOME": str(directory / "state"),
            MARK: str(directory),
        }

    def short(self, name: str) -> Path:
        """The experiment with less time around its fault, to try how it runs."""
        document = yaml.load((ROOT / "experiments" / f"{name}.yaml").read_text(), yaml.CSafeLoader)
        extension = document["extensions"][0]
        extension["timeline"] = {"before_s": 4, "after_s": 5}
        extension["load"]["rate"] = 100
        path = self.directory / f"{name}.yaml"
        path.write_text(yaml.safe_dump(document))
        return path

    def start(self, *command: str) -> subprocess.Popen[str]:
        """A command in this place, its two outputs in one file."""
        with (self.directory / "output").open("a") as output:
            return subprocess.Popen(
                command,
                cwd=self.directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                text=True,
                start_new_session=True,
            )

    def experiment(self, name: str, *words: str) -> subprocess.Popen[str]:
        """`harness experiment run` of the short form."""
        where = ("--results", str(self.directory / "results"))
        run = ("experiment", "run", str(self.short(name)), *where, *words)
        return self.start(*QUICK, *run)

    def harness(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of the harness, to its end."""
        return subprocess.run(
            [sys.executable, "-m", "harness", *words],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    @property
    def output(self) -> str:
        """What was said so far."""
        return (self.directory / "output").read_text()

    @property
    def faults(self) -> list[Path]:
        """The entries of the ledger."""
        return [*(self.directory / "state" / "codai-harness" / "ledger").rglob("*.json")]

    def record(self) -> Path:
        """The directory of the one run."""
        (found,) = (self.directory / "results").glob("*/*/run.json")
        return found.parent

    def events(self) -> list[Event]:
        """What the one run's record holds."""
        lines = (self.record() / "events.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def processes(self, module: str = "") -> list[int]:
        """Every process of this place that runs a module."""
        found = []
        for each in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                mine = f"{MARK}={self.directory}\0" in (each / "environ").read_text()
                if mine and module in (each / "cmdline").read_text():
                    found.append(int(each.name))
        return found

    def until(self, holds: Callable[[], object], within_s: float = 60.0) -> None:
        """Wait until a condition holds; fails when it does not in time."""
        deadline = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < deadline, self.output[-2000:]
            time.sleep(0.05)

    def until_injected(self) -> None:
        """Wait until a fault is in effect by the ledger's word."""
        self.until(lambda: any('"injected"' in _text(path) for path in self.faults))


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


@pytest.fixture
def place() -> Iterator[Place]:
    """A short path: a socket's name may not be long."""
    with tempfile.TemporaryDirectory(prefix="hx-") as directory:
        made = Place(Path(directory))
        yield made
        for pid in made.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        made.until(lambda: not made.processes(), 20)


def nothing_remains(place: Place) -> None:
    """No process, no fault in the ledger, by our look and by `harness reap`'s."""
    place.until(lambda: not place.processes(), 30)
    done = place.harness("reap", "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["leftovers"], found["unreadable"]) == (0, [], []), found
    assert place.faults == []


def kinds(events: list[Event]) -> set[str]:
    """The types of event that there are, and what is said of the chaos."""
    return {f"{e['type']} {e['what']}" if e["type"] == "chaos" else e["type"] for e in events}


def test_an_experiment_leaves_a_complete_record(place: Place) -> None:
    """Every event that a verdict needs, the journal, the plan and the verdict itself."""
    code = place.experiment("fail-region", "--set", "hold_s=6", "--set", "mode=kill").wait(120)
    assert code in VERDICTS, place.output
    events = place.events()
    said = {"plan", "inject", "injected", "heal", "healed", "end"}
    assert {f"chaos {what}" for what in said} <= kinds(events)
    assert {"proof", "canary", "health", "served", "write", "read", "stage"} <= kinds(events)
    at = {e["what"]: e["t"] for e in events if e["type"] == "chaos" and "t" in e}
    (ready,) = [e for e in events if e["type"] == "chaos_child" and e["what"] == "ready"]
    assert ready["t"] is None  # the load began afterwards
    (hit,) = json.loads((place.record() / "plan.json").read_text())["plan"]["hits"]
    (injected,) = [e for e in events if e["type"] == "chaos" and e["what"] == "injected"]
    confirmed = [hit["heal"]["fault_id"], hit["targets"]]
    assert [injected["fault_id"], injected["targets"]] == confirmed
    assert 6.5 < at["inject"] < 9
    assert 5.5 < at["healed"] - at["inject"] < 9
    proofs = [(e["t"], e["in_effect"]) for e in events if e["type"] == "proof"]
    assert all(shown for t, shown in proofs if at["injected"] < t < at["heal"])
    assert not [t for t, shown in proofs if shown and t > at["healed"] + 1]
    asked = [e for e in events if e["type"] == "canary" and e["t"] is not None]  # None: no load yet
    seen = [e for e in asked if at["injected"] + 1 < e["t"] < at["heal"]]
    ok = {
        where: {e["ok"] for e in seen if e["where"] == where}
        for where in {e["where"] for e in seen}
    }
    assert ok["us-east-1"] == {False}
    assert ok["eu-west-1"] == {True}
    assert {e["stage"] for e in events if e["type"] == "read"} == {"during", "after"}
    record = place.record()
    journal = json.loads((record / "journal.json").read_text())
    assert journal["steady_states"]["during"]
    plan = json.loads((record / "plan.json").read_text())
    assert plan["plan"]["hits"][0]["targets"]
    assert json.loads((record / "run.json").read_text())["state"] == "complete"
    assert (record / "experiment.json").exists()
    nothing_remains(place)


def test_an_interrupt_heals(place: Place) -> None:
    """Exit code 130, the fault is undone and proven so, the record says so."""
    process = place.experiment("fail-region", "--set", "hold_s=30")
    place.until_injected()
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130, place.output
    assert "everything is healed" in place.output
    assert "chaos healed" in kinds(place.events())
    assert json.loads((place.record() / "run.json").read_text())["state"] == "interrupted"
    nothing_remains(place)


def test_halt_ends_an_experiment_and_its_verdict_says_by_whom(place: Place) -> None:
    """From another process: the fault is undone, the load ends, the record is judged."""
    process = place.experiment("fail-region", "--set", "hold_s=30")
    place.until_injected()
    done = place.harness("halt", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0, found
    assert [each["kind"] for each in found["undone"]] == ["fail-region"]
    assert [each["what"] for each in found["stopped"]] == ["experiment fail-region"]
    assert process.wait(30) == 3, place.output
    verdict = json.loads((place.record() / "experiment.json").read_text())
    assert verdict["outcome"] == "inconclusive"
    assert verdict["reasons"][0].startswith("The experiment was halted by ")
    assert "chaos halt" in kinds(place.events())
    nothing_remains(place)


def test_a_killed_command_line_leaves_nothing(place: Place) -> None:
    """Its children end by themselves, its lab goes with it."""
    process = place.experiment("fail-region", "--set", "hold_s=30")
    place.until_injected()
    process.kill()
    process.wait()
    nothing_remains(place)


def test_a_killed_chaos_child_is_healed_for_by_the_command_line(place: Place) -> None:
    """At once, and the run is no success."""
    process = place.experiment("fail-region", "--set", "hold_s=30")
    place.until_injected()
    (child,) = place.processes("harness.chaos.toolkit_runner")
    os.kill(child, signal.SIGKILL)
    place.until(lambda: not place.faults, 15)
    assert process.wait(90) not in {0, 130}, place.output
    assert "chaos healed" in kinds(place.events())
    assert json.loads((place.record() / "run.json").read_text())["state"] == "failed"
    nothing_remains(place)


def test_a_broken_guard_aborts_and_heals(place: Place) -> None:
    """Long before the fault would have been over."""
    path = place.short("fail-region")
    document = yaml.load(path.read_text(), yaml.CSafeLoader)
    document["extensions"][0]["guards"] = {"error_ratio": 0.05}
    path.write_text(yaml.safe_dump(document))
    words = ("experiment", "run", str(path), "--set", "hold_s=14", "--set", "mode=kill")
    mutant = ("--mutant", "no-failover", "--results", str(place.directory / "results"))
    process = place.start(*QUICK, *words, *mutant)
    assert process.wait(120) != 0
    chaos = {e["what"]: e for e in place.events() if e["type"] == "chaos"}
    assert "failed" in chaos["abort"]["detail"]
    assert chaos["healed"]["t"] - chaos["injected"]["t"] < 12
    nothing_remains(place)


def test_an_alert_that_fires_before_the_fault_halts_the_experiment(place: Place) -> None:
    """The load ends, and nothing was injected."""
    with serving() as server:
        words = ("--stop-on-alert", "Burns", "--prometheus", server.url)
        process = place.experiment("fail-region", *words)
        place.until(lambda: [*(place.directory / "results").glob("*/*/slices.jsonl")])
        server.answers = {"ALERTS": 1}
        assert process.wait(60) == 3, place.output
    verdict = json.loads((place.record() / "experiment.json").read_text())
    (reason,) = verdict["reasons"]
    assert "halted before its fault, since the alert Burns fired" in reason
    assert "chaos inject" not in kinds(place.events())
    nothing_remains(place)


@pytest.fixture
def lab(place: Place) -> Iterator[Place]:
    """A lab that stays up, as for exploring."""
    done = place.harness("lab", "up", "--regions", "3", "--replicas", "1", "--edges")
    assert done.returncode == 0, done.stderr
    yield place
    place.harness("lab", "down")


def chaos(place: Place, verb: str, *words: str) -> subprocess.Popen[str]:
    """The plain Chaos Toolkit."""
    program = shutil.which("chaos", path=str(Path(sys.executable).parent)) or "chaos"
    return place.start(program, "--no-version-check", verb, *words)


def journal_of(place: Place) -> Mapping[str, Any]:
    """What the plain Chaos Toolkit wrote."""
    found: dict[str, Any] = json.loads((place.directory / "journal.json").read_text())
    return found


def test_plain_chaos_toolkit_validates_and_runs_an_experiment(lab: Place) -> None:
    """Against the lab that is up, with its own parameters."""
    file = str(ROOT / "experiments" / "fail-region.yaml")
    assert chaos(lab, "validate", file).wait(60) == 0, lab.output
    held = ("--var", "hold_s:int=3")
    assert chaos(lab, "run", *held, file).wait(90) == 0, lab.output
    journal = journal_of(lab)
    assert (journal["status"], journal["deviated"]) == ("completed", False)
    assert [each["status"] for each in journal["run"]] == ["succeeded", "succeeded"]
    assert lab.faults == []
    assert json.loads(lab.harness("reap", "--json").stdout)["clean"]


def test_halt_ends_a_plain_run(lab: Place) -> None:
    """Chaos Toolkit's own command undoes its fault and ends as after SIGTERM."""
    process = chaos(lab, "run", str(ROOT / "experiments" / "fail-region.yaml"))
    lab.until_injected()
    found = json.loads(lab.harness("halt", "--json").stdout)
    assert [each["what"] for each in found["stopped"]] == ["chaos run"]
    assert [each["kind"] for each in found["undone"]] == ["fail-region"]
    assert found["clean"]
    process.wait(10)


def test_an_interrupted_plain_run_undoes_its_fault(lab: Place) -> None:
    """Though Chaos Toolkit itself leaves its rollbacks out then."""
    process = chaos(lab, "run", str(ROOT / "experiments" / "fail-region.yaml"))
    lab.until_injected()
    process.send_signal(signal.SIGINT)
    process.wait(60)
    assert lab.faults == []
    found = json.loads(lab.harness("reap", "--json").stdout)
    assert found == {"clean": True, "undone": [], "leftovers": [], "unreadable": [], "running": []}


def test_reap_undoes_what_a_killed_plain_run_left_and_not_what_a_living_one_does(
    lab: Place,
) -> None:
    """The living one's faults are its own to undo."""
    process = chaos(lab, "run", str(ROOT / "experiments" / "fail-region.yaml"))
    lab.until_injected()
    alive = json.loads(lab.harness("reap", "--json").stdout)
    assert alive["undone"] == []
    assert alive["leftovers"]
    process.kill()
    process.wait()
    found = json.loads(lab.harness("reap", "--json").stdout)
    assert found["clean"]
    assert [each["kind"] for each in found["undone"]] == ["fail-region"]
    assert lab.faults == []
