"""Secrets planted wherever a run takes something from elsewhere are in nothing that it leaves."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import signal
import stat
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from harness import redact as module
from harness.catalog import load_catalog, project_root
from harness.chaos.experiment import learn_document
from harness.chaos.ledger import Ledger
from harness.errors import PlatformError
from harness.judge import judge
from harness.platform.undo import UndoRecord
from harness.prometheus import Prometheus
from harness.record import RunRecord, RunWriter
from harness.redact import redact
from harness.report.run import print_report
from harness.report.run_files import write_reports
from harness.scratch import scratch, sweep
from harness.traffic.scenario import load_model
from tests.record import synthetic

SCENARIO = """
import os
from os import environ
from harness.traffic import *
from harness.traffic.user import TrafficUser
mix = [
    get("/a?sig={0}&b=1", headers={{"Authorization": "Bearer {1}", "x-functions-key": "{2}",
        "Ocp-Apim-Subscription-Key": "{3}", "X-JWT": "{4}", "Cookie": "sid={5}; theme=dark",
        "X-Goog-Iap-Jwt-Assertion": "{6}", "X-Access-Key": "{7}", "X-Signature": "{8}",
        "X-Vault": "{9}", "x-session": "{10}", "X-Plain": os.environ["PLAIN_WORD"]}}),
    get("/b?key={11}", name="second?token={12}"),
    get("/c?code={13}&jwt={14}&pwd={15}&X-Amz-Signature={16}", name="c"),
    post("/d", body="password={17}&x=1", name="d"),
    post("/e", body="<a><password>{18}</password></a>", name="e"),
    post("/f", json_body={{"client_secret": "{19}", "pin": 9876543210}}, name="f"),
    post("/g", body="{{{{'token': '{20}'}}}}", name="g"),
    get("/h/{{who}}/{{login}}", name="h", headers={{"X-Env": environ.get("OTHER_WORD")}}),
    get("/i", name="i", headers={{"Authorization": "Basic {21}"}}),
]
class U(TrafficUser):
    service = "memorai"
    mix = mix
    feeds = {{"who": csv_column("users.csv", "name"), "login": csv_column("users.csv", "pw"),
             "token_of": choice(["{22}"]), "marked": csv_column("users.csv", "odd", secret=True)}}
"""
ENVIRONMENT = (
    "PLAIN_WORD",
    "OTHER_WORD",
    "MY_TOKEN",
    "HARNESS_PROMETHEUS_TOKEN",
    "CHAOS_WORD",
    "DB_PASSWD",
)


def secret(number: int) -> str:
    """One that stands nowhere else, and has to be encoded in URLs and JSON."""
    return f"s3cr3t-{number:03d}-{'xyzw'[number % 4]}q"


PLANTED = [secret(number) for number in range(60)]


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test registers is no secret of another."""
    monkeypatch.setattr(module, "_KNOWN", module._Known())


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The secrets, those of the environment set."""
    for name, value in zip(ENVIRONMENT, PLANTED[30:], strict=False):
        monkeypatch.setenv(name, value)
    return PLANTED


def forms(value: str) -> list[str]:
    """As text, and what base64 has of it whatever stands before."""
    raw = value.encode()
    parts = [base64.b64encode(bytes(k) + raw).decode()[4:-4] for k in range(3)]
    return [value, *parts]


def left(directory: Path) -> list[str]:
    """Which of the secrets stand in which file."""
    return [
        f"{path.name}: {value}"
        for path in directory.rglob("*")
        if path.is_file()
        for value in PLANTED
        if any(form in path.read_text(errors="replace") for form in forms(value))
    ]


def test_none_of_sixty_planted_secrets_is_left(planted: list[str], tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "scenarios").mkdir(parents=True)
    rows = [f"user{n},{planted[36 + n]},{planted[48 + n]}" for n in range(12)]
    (project / "scenarios" / "users.csv").write_text("name,pw,odd\n" + "\n".join(rows))
    words = [*planted[:21], base64.b64encode(f"bob:{planted[21]}".encode()).decode(), planted[22]]
    (project / "scenarios" / "memorai.py").write_text(SCENARIO.format(*words))
    service = load_catalog(project_root() / "services").service("memorai")
    traffic = load_model(service, None, project)
    assert set(traffic.variables) == {"PLAIN_WORD", "OTHER_WORD"}
    Prometheus.at(f"http://user:{planted[23]}@127.0.0.1:9090")
    learn_document({
        "secrets": {"app": {"word": planted[24], "taken": {"type": "env", "key": "CHAOS_WORD"}}},
        "configuration": {"my_password": planted[25], "url": f"http://u:{planted[26]}@h/"},
        "method": [{"provider": {"headers": {"Authorization": f"Bearer {planted[27]}"},
                                 "url": f"http://h/?api_key={planted[28]}"}}],
    })  # fmt: skip
    plan = replace(synthetic.plan(), traffic=traffic)
    made = synthetic.Made(plan=plan)
    echo = " ".join([*planted, *(base64.b64encode(f"bob:{p}".encode()).decode() for p in planted)])
    writer = RunWriter.create(
        tmp_path / "results", service, plan, {"host": echo},
        command=("harness", "--set", f"x_token={planted[29]}", echo), labels={"note": echo},
    )  # fmt: skip
    for message in synthetic.messages(made):
        writer.message(message)
    writer.event("chaos", what="inject_failed", detail=echo, error=json.dumps(echo))
    writer.message({"type": "slice", "worker": 0, "seq": 1, "slice": {
        "axis": "due", "second": 1, "endpoint": "x?" + echo, "offered": 0, "completed": 0,
        "failed": 0, "unfinished": 0, "errors": {}, "bytes_in": 0, "bytes_out": 0, "connects": 0,
        "hist": {}}})  # fmt: skip
    writer.finish("failed", problem=echo)
    record = RunRecord.load(writer.directory)
    assert all(each.name in record.endpoints for each in record.plan.traffic.requests)
    verdict = judge(record, service)
    write_reports(record, verdict, writer.directory)
    terminal = io.StringIO()
    print_report(record, verdict, terminal)
    (writer.directory / "terminal").write_text(terminal.getvalue())
    (writer.directory / "journal.json").write_text(json.dumps(redact({"run": [echo]})))
    found = left(writer.directory)
    assert found == []
    text = (writer.directory / "run.json").read_text()
    assert "9876543210" not in text
    assert service.regions[0] in text


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
@pytest.mark.parametrize(
    ("share", "file", "directory"), [(False, 0o600, 0o700), (True, 0o644, 0o755)]
)
def test_a_record_is_its_owners_unless_it_is_shared(
    mask: int, *, share: bool, file: int, directory: int, tmp_path: Path
) -> None:
    before = os.umask(mask)
    try:
        made = synthetic.plan()
        writer = RunWriter.create(tmp_path, synthetic.service(), made, {}, share=share)
        writer.finish("complete")
        record = RunRecord.load(writer.directory)
        write_reports(record, judge(record, record.service), record.directory)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in record.directory.iterdir()}
    assert set(modes.values()) == {file}, modes
    assert stat.S_IMODE(record.directory.stat().st_mode) == directory


def test_a_ledger_is_its_owners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with Ledger.open() as ledger:
        ledger.intend(UndoRecord("f-1", "kill-replicas", {}), {"platform": "lab"})
        (file,) = ledger.directory.iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(ledger.directory.stat().st_mode) == 0o700
        ledger.forget("f-1")


def test_what_a_killed_run_left_is_gone_with_the_next_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that lives keeps its own."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    script = "from harness.scratch import *\nimport sys\nwith scratch('load') as p:\n"
    script += " (p / 'plan.json').write_text('secret')\n print(p, flush=True)\n sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        path = Path(child.stdout.readline().strip())
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        sweep()
        assert (path / "plan.json").exists()
        child.send_signal(signal.SIGKILL)
    sweep()
    assert not path.exists()


def test_a_scratch_directory_is_gone_when_it_is_left_and_follows_no_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with scratch("x") as path:
        assert path.is_dir()
    assert not path.exists()
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis").touch()
    (path.parent / "scratch-link").symlink_to(tmp_path / "theirs")
    sweep()
    assert (tmp_path / "theirs" / "thesis").exists()
    path.parent.rename(tmp_path / "old")
    path.parent.symlink_to(tmp_path / "theirs")
    sweep()
    with pytest.raises(PlatformError, match="no directory"), scratch("x"):
        pass


def test_names_of_endpoints_and_the_plan_agree_after_redaction(tmp_path: Path) -> None:
    """Else a record would judge endpoints that it does not know."""
    plan: Any = synthetic.plan()
    requests = (replace(plan.traffic.requests[0], name="GET /x?token=abc"),)
    plan = replace(plan, traffic=replace(plan.traffic, requests=requests))
    record = synthetic.record(tmp_path, synthetic.Made(plan=plan))
    assert record.endpoints == (record.plan.traffic.requests[0].name,)
    assert re.search("abc", json.dumps(asdict(record.plan), default=str)) is None
