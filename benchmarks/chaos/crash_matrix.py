"""Kill something of the harness at a random moment, many times, and look for what remains.

`python -m benchmarks.chaos.crash_matrix --kills 200` appends one line a kill to a file and can be
stopped and continued; `--report` writes the table to RESULTS.md. Every kill: an experiment and a
victim are drawn by seed, the victim is SIGKILLed at a random moment of the run, then `harness
reap` is run once, then everything is looked at: processes, packet rules, edges, ledger.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.run import machine, table, write
from harness.catalog import load_catalog, project_root
from harness.chaos.experiment import experiment_names
from harness.gameday.steady import wait_steady
from harness.platform.lab import namespace
from harness.platform.lab.options import LabOptions
from harness.platform.lab.platform import Lab

MARK = "HARNESS_CRASH_TRIAL"
VICTIMS = {
    "CLI": "benchmarks.chaos.trial",
    "load child": "harness.load",
    "chaos child": "harness.chaos.toolkit_runner",
    "canary": "harness.chaos.canary",
    "lab supervisor": "",
}
LATEST_S = 8.0
"""A shortened experiment takes about that long, its start included."""

SINCE = (None, "state/*/ledger/*", "state/*/ledger/*/*.json")
"""From where the moment counts, in turn: the start of the process, the opening of the ledger, which
comes before anything is started, and the first fault on it."""

END_S = 60.0
SETTLE_S = 20.0
LAB_TTL_S = 3600.0
HEADER = (
    "killed", "times", "a fault was on the ledger", "`reap` had to undo one", "nothing remained"
)  # fmt: skip
TITLE = "7. Crash matrix: what remains after a kill"


Members = set[tuple[int, str | None]]
"""Processes of a lab: pid and start."""


class Stream:
    """A lab of its own, with a state directory of its own, used until it is killed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for part in ("runtime", "state", "results"):
            (directory / part).mkdir(parents=True, exist_ok=True)
        os.environ["XDG_RUNTIME_DIR"] = str(directory / "runtime")
        os.environ["XDG_STATE_HOME"] = str(directory / "state")
        self.service = load_catalog(project_root() / "services").service("memorai")
        self.lab: Lab | None = None
        self.host = host_rules()

    def ready_lab(self) -> Lab:
        """The lab, started anew when there is none."""
        if self.lab is None:
            self.lab = Lab(LabOptions(regions=2, replicas=2, edges=True))
            self.lab.start((self.service,), ttl_s=LAB_TTL_S)
            self.lab.wait_ready()
            wait_steady(self.lab, self.service, self.lab.target(self.service, "global"))
        return self.lab

    def kill_once(self, number: int) -> dict[str, Any] | None:
        """One kill and what it left; None when the victim was not there to be killed."""
        draw = random.Random(number)
        experiment = draw.choice(experiment_names(project_root()))
        victim = draw.choice([*VICTIMS])
        at = draw.uniform(0.0, LATEST_S)
        lab = self.ready_lab()
        # By pid and start: the kernel gives the number of a namespace that ended to the next one.
        members = {
            (pid, begun(pid)) for pid in namespace.members(namespace.network_of(lab.pid or 0) or "")
        }
        process = self._start(lab, experiment, number)
        self._await(process, SINCE[number % len(SINCE)])
        time.sleep(at)
        armed = any(self.directory.glob("state/**/*.json"))
        killed = self._kill(victim, process, lab, number)
        if not killed:
            process.kill()
        code = wait(process)
        reaped = self._reap()
        left = self._look(number, members, victim)
        if not killed:
            return None
        return {
            "kill": number, "experiment": experiment, "victim": victim, "at_s": round(at, 3),
            "armed": armed,
            "cli": code, "undone": reaped.get("undone", []), "left": left,
        }  # fmt: skip

    def _start(self, lab: Lab, experiment: str, number: int) -> subprocess.Popen[bytes]:
        words = [json.dumps(dict(lab.handle())), experiment, str(self.directory / "results")]
        with (self.directory / "trial.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "benchmarks.chaos.trial", *words],
                env={**os.environ, MARK: str(number)},
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def _await(self, process: subprocess.Popen[bytes], there: str | None) -> None:
        """Wait until the run has this below its state, or has ended."""
        while there and process.poll() is None and not any(self.directory.glob(there)):
            time.sleep(0.02)

    def _kill(self, victim: str, process: subprocess.Popen[bytes], lab: Lab, number: int) -> bool:
        """Whether the victim lived and was killed; a child that is yet to start is waited for."""
        if victim == "lab supervisor":
            os.kill(lab.pid or 0, signal.SIGKILL)
            return process.poll() is None
        return kill_when_seen(process, number, VICTIMS[victim])

    def _reap(self) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "harness", "reap", "--json"],
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        try:
            found: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            found = {"clean": False, "problem": done.stderr[-500:]}
        return found

    def _look(self, number: int, members: Members, victim: str) -> list[str]:
        """Everything that is still there, found by looking."""
        deadline = time.monotonic() + SETTLE_S
        while (left := self._left(number, members, victim)) and time.monotonic() < deadline:
            time.sleep(0.2)
        if victim == "lab supervisor":
            self.lab = None
        elif not left and self.lab is not None:
            target = self.lab.target(self.service, "global")
            problem = wait_steady(self.lab, self.service, target)
            left = [f"not steady: {problem}"] if problem else []
        if left and self.lab is not None:
            self.lab.stop()
            self.lab = None
        return left

    def _left(self, number: int, members: Members, victim: str) -> list[str]:
        left = [f"process {pid}: {words[:80]}" for pid, words in marked(number)]
        left += [f"ledger: {path}" for path in self.directory.glob("state/**/*.json")]
        if host_rules() != self.host:
            left.append("the host's packet rules have changed")
        if victim == "lab supervisor":
            alive = [pid for pid, since in members if since is not None and begun(pid) == since]
            return left + [f"process {pid} of the lab" for pid in alive]
        if self.lab is None:
            return left
        left += [f"stopped: {pid}" for pid, _ in members if stopped(pid)]
        left += [f"packet rule in the lab: {rule}" for rule in lab_rules(self.lab)]
        return left + [f"the lab says: {text}" for text in self.lab.residual_faults()]


def kill_when_seen(process: subprocess.Popen[bytes], number: int, module: str) -> bool:
    """Kill the trial's process of a module as soon as it is there; False when the trial ended."""
    while process.poll() is None:
        for pid, words in marked(number):
            if module in words.split("\0"):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    return True
        time.sleep(0.05)
    return False


def marked(number: int) -> Iterator[tuple[int, str]]:
    """(pid, command line) of every process of a trial: they inherit its environment."""
    word = f"{MARK}={number}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if word not in (entry / "environ").read_bytes().split(b"\0"):
                continue
            words = (entry / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if words:  # a zombie has none
            yield int(entry.name), words


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name: state first; empty for one that is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def begun(pid: int) -> str | None:
    """When a process that lives began, in clock ticks: with its pid it names it for good."""
    fields = stat(pid)
    return fields[19] if fields and fields[0] not in {"Z", "X"} else None


def stopped(pid: int) -> bool:
    """Whether the kernel says that a process is stopped."""
    return stat(pid)[:1] in (["T"], ["t"])


def lab_rules(lab: Lab) -> list[str]:
    """The rules in the lab's namespace that meet any packet, as the kernel lists them."""
    listed = _rules([*lab.exec_prefix, "nft", "--stateless", "list", "ruleset"])
    lines = [line.strip() for line in listed.splitlines()]
    return [line for line in lines if line.startswith(("ip ", "tcp ", "meta "))]


def host_rules() -> str:
    """The host's own tables."""
    return _rules(["nft", "list", "tables"])


def _rules(command: list[str]) -> str:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=20,
        env={**os.environ, "PATH": path},
    )  # fmt: skip
    return done.stdout


def wait(process: subprocess.Popen[bytes], limit_s: float = END_S) -> int:
    """Its exit code; -1 when it had to be killed."""
    try:
        return process.wait(limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return -1


def options_of(parser: argparse.ArgumentParser, kills: int, directory: str) -> argparse.Namespace:
    """The command line of a matrix, with the options that the parser has already."""
    parser.add_argument("--kills", type=int, default=kills)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--for", dest="for_s", type=float, default=1e9, help="seconds at most")
    parser.add_argument("--directory", type=Path, default=Path(directory))
    parser.add_argument("--report", action="store_true", help="write RESULTS.md from what is there")
    found = parser.parse_args()
    found.directory = found.directory.absolute()
    return found


def collect(
    kill_once: Callable[[int], dict[str, Any] | None], log: Path, options: argparse.Namespace
) -> None:
    """Make kills until there are enough, or until the time is up; one line of the log each."""
    done = {row["kill"] for row in rows(log)}
    deadline = time.monotonic() + options.for_s
    number = max([options.first - 1, *done]) + 1
    while len(done) < options.kills and time.monotonic() < deadline:
        found = kill_once(number)
        if found is not None:
            done.add(number)
            keep(log, found)
        number += 1


def keep(log: Path, found: dict[str, Any]) -> None:
    """Append one line to the log, and print it."""
    with log.open("a", encoding="utf-8") as file:
        file.write(json.dumps(found) + "\n")
    print(json.dumps(found), flush=True)


def main() -> int:
    """Make the kills, or the report of those that were made."""
    parser = argparse.ArgumentParser(description=__doc__)
    options = options_of(parser, 200, "results/crash-matrix")
    if options.report:
        write(TITLE, f"{machine()}\n\n{report(options.directory)}")
        return 0
    stream = Stream(options.directory)
    try:
        collect(stream.kill_once, options.directory / "kills.jsonl", options)
    finally:
        if stream.lab is not None:
            stream.lab.stop()
    return 0


def rows(log: Path) -> list[dict[str, Any]]:
    """The kills so far."""
    if not log.is_file():
        return []
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def report(directory: Path) -> str:
    """The table of victims, from every kills.jsonl below the directory."""
    found = [row for log in sorted(directory.glob("**/kills.jsonl")) for row in rows(log)]
    clean = Counter(row["victim"] for row in found if not row["left"])
    healing = Counter(row["victim"] for row in found if row["undone"])
    total = Counter(row["victim"] for row in found)
    armed = Counter(row["victim"] for row in found if row.get("armed"))
    counts = (total, armed, healing)
    lines = [[v, *(str(c[v]) for c in counts), f"{clean[v]} of {total[v]}"] for v in VICTIMS]
    sums = [str(sum(c.values())) for c in counts]
    lines.append(["all", *sums, f"{sum(clean.values())} of {len(found)}"])
    names = sorted({row["experiment"] for row in found})
    text = table(HEADER, lines)
    text += (
        f"\n\nAcross {len(names)} experiments, at moments drawn from 0 to {LATEST_S:g} s of a run"
        " cut to about that length, from its start, from the opening of its ledger and from the"
        " first fault on it, in turn. Looked at after one `harness reap`: processes of the run (by"
        " an environment they all inherit), processes of the lab, stopped processes, packet rules"
        " in the lab's namespace and on the host, the edges' fault filters and the replicas'"
        " behaviour, ledger entries; then every replica must be ready and every health check"
        " sound again."
    )
    bad = [row for row in found if row["left"]]
    for row in bad:
        text += f"\n- kill {row['kill']} ({row['victim']}, {row['experiment']}): {row['left'][0]}"
    return text


if __name__ == "__main__":
    sys.exit(main())
