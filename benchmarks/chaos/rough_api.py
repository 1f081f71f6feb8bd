"""Experiments on a cluster whose API server is not calm: what remains, and which have a verdict.

`python -m benchmarks.chaos.rough_api --kills 50` takes the tests' own cluster that is up
(`python -m tests.kubernetes.cluster up`), runs one shortened experiment after the other through a
proxy that refuses and breaks some requests (`rough`), appends one line each and can be continued;
`--report` writes the table. After each the API server itself and the nodes are looked at, without
a `harness reap` in between.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.chaos.cluster_crashes import Stream, here
from benchmarks.chaos.crash_matrix import MARK, collect, options_of, rows, wait
from benchmarks.chaos.rough import Rough, before, kubeconfig_of
from benchmarks.run import machine, table, write
from harness.errors import HarnessError
from harness.judge.experiment import judge_experiment
from harness.platform.kubernetes.platform import Kubernetes, Where
from harness.record import RunRecord

TITLE = "7c. Experiments through an API server that is not calm"
HEADER = ("outcome", "experiments", "nothing remained")
REFUSED = "refused before anything was touched"


class Trials(Stream):
    """Experiments through the proxy; what is left is looked for past it."""

    def run_once(self, number: int) -> dict[str, Any]:
        """One experiment, its verdict, and what it left."""
        experiment = random.Random(number).choice(here())
        with through(self, number) as (kubeconfig, rough):
            known = {*self._records()}
            platform = Kubernetes(Where(self.namespace, kubeconfig=str(kubeconfig)))
            code = wait(self._trial(platform, experiment, number))
            made = [each for each in self._records() if each not in known]
        return {
            "kill": number, "experiment": experiment, "cli": code, "met": dict(rough.met),
            "outcome": outcome_of(made, code), "left": self._look(number),
        }  # fmt: skip

    def _records(self) -> Iterator[Path]:
        return (path.parent for path in self.directory.glob("results/*/*/run.json"))

    def _trial(self, platform: Kubernetes, experiment: str, number: int) -> subprocess.Popen[bytes]:
        words = [json.dumps(dict(platform.handle())), experiment, str(self.directory / "results")]
        with (self.directory / "trial.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "benchmarks.chaos.trial", *words],
                env=self._environment("here", **{MARK: str(number)}),
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip


@contextmanager
def through(stream: Stream, number: int) -> Iterator[tuple[Path, Rough]]:
    """A kubeconfig that leads through the proxy to the cluster, and what the proxy does."""
    words = stream.cluster.command("proxy", "--port=0")
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as calm:
        try:
            said = (calm.stdout.readline() if calm.stdout else "").strip()
            found = re.search(r"127\.0\.0\.1:\d+", said)
            if found is None:
                raise RuntimeError(f"kubectl proxy: {said}")
            rough = Rough(number, stream.directory / "token")
            with before(f"http://{found.group()}", rough) as url:
                yield kubeconfig_of(stream.directory / "kubeconfig", url, rough.tokens), rough
        finally:
            calm.terminate()


def outcome_of(made: list[Path], code: int) -> str:
    """The verdict on the record, if one was begun; `none` where it cannot be judged."""
    if not made:
        return REFUSED if code == 1 else f"none (exit code {code})"
    try:
        return judge_experiment(RunRecord.load(made[0])).outcome
    except HarnessError as problem:
        return f"none ({problem})"


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
    text = table(HEADER, lines) + (
        f"\n\n{met['all'] + met['401']:,} requests of the harness, of which: {told} (a refusal as"
        " busy, conflict, expired or broken server; a connection closed without an answer; an"
        " answer cut in the middle; a token that has expired, with another one in its file)."
    )
    for row in (row for row in found if row["left"] or row["outcome"].startswith("none")):
        what = (row["left"] or [row["outcome"]])[0]
        text += f"\n- {row['kill']} ({row['experiment']}): {what}"
    return text


def main() -> int:
    """Run them, or write the report of those that were run."""
    options = options_of(__doc__, 50, "results/rough-api")
    log = options.directory / "runs.jsonl"
    if options.report:
        write(TITLE, f"{machine()}\n\n{report(log)}")
        return 0
    collect(Trials(options.directory).run_once, log, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
