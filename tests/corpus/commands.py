"""Commands of the corpus: what each is called with, and what it may not be called with alone."""

from __future__ import annotations

CALLS: dict[str, str] = {
    "perf": "memorai --quiet",
    "gate": "memorai",
    "capacity": "memorai",
    "gameday": "--experiments kill-replica",
    "baseline make": "memorai",
    "baseline accept": "latest --new --yes",
    "baseline list": "",
    "baseline show": "memorai",
    "history": "memorai --plot {fresh}.svg",
    "experiment list": "",
    "experiment show": "kill-replica",
    "experiment lint": "experiments/kill-replica.yaml",
    "experiment plan": "kill-replica",
    "experiment run": "kill-replica",
    "fault list": "",
    "fault show": "kill-replicas",
    "runs": "",
    "show": "",
    "judge": "",
    "export": "",
    "services": "",
    "scenarios": "",
    "load": "memorai --namespace x",
    "scale-test": "memorai --rate 100 --namespace x",
    "stats compare": "--baseline runs.csv --candidate runs.csv",
    "stats changepoints": "series.csv",
    "stats recovery": "recovery.csv --inject 15",
    "import": "curl requests.sh --output {fresh}.py",
}
"""Command -> the words that it is called with: alone they are enough.

`lab` starts and ends processes, `reap` and `halt` look for them: they have tests of their own.
"""

FIT: dict[str, tuple[str, ...]] = {
    "capacity --hold": ("10s", "30s"),
    "capacity --tolerance": ("5%", "20%"),
    "capacity --start": ("100", "1k"),
    "capacity --max-rate": ("600", "20k"),
    "perf --region": ("us-east-1",),
    "perf --profile": ("perf", "constant"),
    "capacity --time-budget": ("5m", "20m"),
    "perf --p95": ("80ms",),
    "stats recovery --inject": ("15", "20.5"),
    "stats recovery --heal": ("17", "30"),
}
"""Words that fit the command besides being of the option's type."""

NOT_ALONE = {
    "--namespace", "--context", "--kubeconfig", "--spawn-rate", "--environment", "--platform",
    "--per-replica", "--interleave", "--stop-on-alert", "--alertmanager", "--prometheus",
    "--errors-allowed", "--think-time",
}  # fmt: skip
"""Options that mean nothing without another one, or that need a server."""

ON_CLUSTER = {"load", "scale-test"}
"""Commands that ask a cluster before they look at the rest."""
