"""Several populations in one real run: one record, a row for each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness._engine import NullServer
from harness.cli import run

pytestmark = pytest.mark.slow

SCENARIO = """
from harness.traffic import get, journey, post, setup
from harness.traffic.user import TrafficUser

class Shopper(TrafficUser):
    service = "shop"
    mix = [get("/home", name="home"), get("/item", name="item")]

class Crawler(TrafficUser):
    service = "shop"
    load = "10/s"

    @setup("agent")
    def choose(self):
        return {"agent": "crawler-1"}

    @journey()
    def crawl(self):
        assert self.values["agent"] == "crawler-1"
        self.client.get("/page", name="page")
        self.client.get("/next", name="next")

class NightlyBatch(TrafficUser):
    service = "shop"
    load = "5s:0,1s:40,4s:40"
    mix = [post("/batch", name="batch")]
"""


def test_populations_share_a_record_and_each_has_a_row_and_objectives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Steady users, a crawler's journeys and a batch that begins later; all are accounted for."""
    monkeypatch.chdir(tmp_path)
    Path("shop.py").write_text(SCENARIO)
    server = NullServer()
    words = [
        "perf", f"http://127.0.0.1:{server.port}/", "--scenario", "shop.py", "--rate", "20",
        "--duration", "10s", "--spacing", "constant", "--quiet", "--objective",
        "crawler/*: p95 < 1s", "--objective", "errors < 5%", "--objective", "p95 < 2s",
    ]  # fmt: skip
    assert run(words) in {0, 3}
    told = capsys.readouterr().out
    server.stop()
    (slices,) = Path("results").glob("*/*/slices.jsonl")
    offered: dict[str, int] = {}
    first: dict[str, int] = {}
    for line in slices.read_text().splitlines():
        row = json.loads(line)
        if row["axis"] == "due":
            name = row["endpoint"]
            offered[name] = offered.get(name, 0) + row["offered"]
            first[name] = min(first.get(name, 99), row["second"])
    assert offered["shopper/home"] + offered["shopper/item"] == 200
    assert offered["crawler/page"] == offered["crawler/next"] == 100
    assert offered["nightly-batch/batch"] == 180
    assert first["nightly-batch/batch"] >= 5
    record = json.loads((slices.parent / "run.json").read_text())
    assert record["conserved"] is True
    assert record["totals"]["completed"] == 580
    rows = {line.split()[0]: line.split()[1] for line in told.splitlines() if "/*" in line}
    assert (rows["shopper/*"], rows["crawler/*"], rows["nightly-batch/*"]) == ("200", "200", "180")
    assert "p95 (crawler/*)" in told
    assert "+ crawler 10/s + nightly-batch 5s:0,1s:40,4s:40" in told


def test_a_population_that_does_not_fit_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is sent; an objective of no population, too."""
    monkeypatch.chdir(tmp_path)
    Path("shop.py").write_text(SCENARIO)
    server = NullServer()
    words = ["perf", f"http://127.0.0.1:{server.port}/", "--scenario", "shop.py", "--quiet"]
    assert run([*words, "--duration", "8s"]) == 2
    assert "nightly-batch take 10 s, and the run 8 s" in capsys.readouterr().err
    server.stop()
