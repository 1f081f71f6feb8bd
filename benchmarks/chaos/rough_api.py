"""Experiments on a cluster whose API server is not calm: what remains, and which have a verdict.

`python -m benchmarks.chaos.rough_api --kills 50` takes the tests' own cluster that is up
(`python -m tests.kubernetes.cluster up`), runs one shortened experiment after the other through a
proxy that refuses and breaks some requests (`rough`), appends one line each and can be continued;
`--report` writes the tables. After each the API server itself and the nodes are looked at, without
a `harness reap` in between. With `--small N` there is no cluster: N small API servers (`small`)
are used side by side.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmarks.chaos.cluster_crashes import Stream, here
from benchmarks.chaos.crash_matrix import MARK, collect, keep, options_of, rows, wait
from benchmarks.chaos.rough import Rough, before, kubeconfig_of
from benchmarks.chaos.small import answering, small
from benchmarks.run import machine, table, write
from harness.errors import HarnessError
from harness.judge.experiment import judge_experiment
from harness.platform.kubernetes.platform import Kubernetes, Where
from harness.record import RunRecord

TITLE = "7c. Experiments through an API server that is not calm"
HEADER = ("outcome", "experiments", "nothing remained")
REFUSED = "refused before anything was touched"
LONGEST_S = 180.0
"""An experiment whose requests are all refused for as long as they are asked again."""


class Place(Protocol):
    """Where experiments run, and what one may leave there."""

    @property
    def directory(self) -> Path:
        """Of its records and state."""

    @property
    def namespace(self) -> str:
        """Of the service."""

    def plain(self) -> AbstractContextManager[tuple[str, Mapping[str, str]]]:
        """The URL of its API server without TLS, and headers that it asks for."""

    def look(self, number: int) -> list[str]:
        """What an experiment has left there."""


class OnCluster(Stream):
    """The tests' own cluster."""

    @contextmanager
    def plain(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        """A `kubectl proxy` to it."""
        words = self.cluster.command("proxy", "--port=0")
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as calm:
            try:
                said = (calm.stdout.readline() if calm.stdout else "").strip()
                found = re.search(r"127\.0\.0\.1:\d+", said)
                if found is None:
                    raise RuntimeError(f"kubectl proxy: {said}")
                yield f"http://{found.group()}", {}
            finally:
                calm.terminate()


@dataclass(frozen=True)
class Trials:
    """Experiments through the proxy; what is left is looked for past it."""

    place: Place

    def run_once(self, number: int) -> dict[str, Any]:
        """One experiment, its verdict, and what it left."""
        experiment = random.Random(number).choice(here())
        began = time.monotonic()
        with self._through(number) as (kubeconfig, rough):
            known = {*self._records()}
            platform = Kubernetes(Where(self.place.namespace, kubeconfig=str(kubeconfig)))
            code = wait(self._trial(platform, experiment, number), LONGEST_S)
            made = [each for each in self._records() if each not in known]
        return {
            "kill": number, "experiment": experiment, "cli": code, "met": dict(rough.met),
            "outcome": outcome_of(made, code), "took_s": round(time.monotonic() - began, 1),
            "left": self.place.look(number),
        }  # fmt: skip

    @contextmanager
    def _through(self, number: int) -> Iterator[tuple[Path, Rough]]:
        """A kubeconfig that leads through the proxy, and what the proxy does."""
        directory = self.place.directory
        rough = Rough(number, directory / "token")
        with self.place.plain() as (server, own), before(server, rough, **own) as url:
            yield kubeconfig_of(directory / "kubeconfig", url, rough.tokens), rough

    def _records(self) -> Iterator[Path]:
        return (path.parent for path in self.place.directory.glob("results/*/*/run.json"))

    def _trial(self, platform: Kubernetes, experiment: str, number: int) -> subprocess.Popen[bytes]:
        directory = self.place.directory
        words = [json.dumps(dict(platform.handle())), experiment, str(directory / "results")]
        environment = {"XDG_STATE_HOME": str(directory / "here"), MARK: str(number)}
        with (directory / "trial.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "benchmarks.chaos.trial", *words],
                env={**os.environ, **environment},
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip


def outcome_of(made: list[Path], code: int) -> str:
    """The verdict on the record, if one was begun; `none` where it cannot be judged."""
    if not made:
        return REFUSED if code == 1 else f"none (exit code {code})"
    try:
        return judge_experiment(RunRecord.load(made[0])).outcome
    except HarnessError as problem:
        return f"none ({problem})"


def beside(options: argparse.Namespace, log: Path) -> None:
    """The experiments that the log lacks, on small API servers side by side."""
    done = {row["kill"] for row in rows(log)}
    every = range(options.first, options.first + options.kills)
    waiting = deque(number for number in every if number not in done)
    deadline, lock = time.monotonic() + options.for_s, threading.Lock()

    def work(directory: Path, port: int) -> None:
        with small(directory, port) as place:
            while waiting and time.monotonic() < deadline:
                found = Trials(place).run_once(waiting.popleft())
                with lock:
                    keep(log, found)

    with answering() as port, ThreadPoolExecutor(options.small) as pool:
        places = [options.directory / str(number) for number in range(options.small)]
        for each in [pool.submit(work, place, port) for place in places]:
            each.result()


def report(log: Path) -> str:
    """The table of outcomes."""
    found = rows(log)
    counted = Counter(row["outcome"] for row in found)
    clean = Counter(row["outcome"] for row in found if not row["left"])
    lines = [[name, str(n), f"{clean[name]} of {n}"] for name, n in sorted(counted.items())]
    lines.append(["all", str(len(found)), f"{sum(clean.values())} of {len(found)}"])
    met: Counter[str] = Counter()
    for row in found:
        met.update(row["met"])
    told = ", ".join(f"{n:,} {what}" for what, n in sorted(met.items()) if what != "all")
    names = {row["experiment"] for row in found}
    text = table(HEADER, lines) + (
        f"\n\n{len(names)} kinds of experiments; {met['all'] + met['401']:,} requests of the"
        f" harness, of which: {told} (a refusal as busy, conflict, expired or broken server; a"
        " connection closed without an answer; an answer cut in the middle; a token that has"
        " expired, with another one in its file)."
    )
    for row in (row for row in found if row["left"] or row["outcome"].startswith("none")):
        what = (row["left"] or [row["outcome"]])[0]
        text += f"\n- {row['kill']} ({row['experiment']}): {what}"
    return text


def main() -> int:
    """Run them, or write the report of those that were run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", type=int, default=0, help="so many small API servers")
    options = options_of(parser, 50, "results/rough-api")
    log, little = options.directory / "runs.jsonl", options.directory / "small.jsonl"
    if options.report:
        tables = {"On the cluster": log, "On small API servers": little}
        told = [f"{what}:\n\n{report(each)}" for what, each in tables.items() if each.is_file()]
        write(TITLE, "\n\n".join([machine(), *told]))
    elif options.small:
        beside(options, little)
    else:
        collect(Trials(OnCluster(options.directory)).run_once, log, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
