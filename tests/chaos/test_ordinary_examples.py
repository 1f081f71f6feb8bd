"""Files of every kind that Chaos Toolkit's documentation shows, and what is said of each.

`ordinary/` holds them, written for these tests; docs/experiments.md has the same table. They run in
this process; that Chaos Toolkit has one of its own is tried elsewhere.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from chaoslib import activity, hypothesis

from harness.catalog import project_root
from harness.chaos.experiment import load_experiment
from harness.chaos.limits import limit_activities
from harness.chaos.plain import judge_journal
from harness.chaos.toolkit_runner import carry_out
from harness.errors import ExperimentError

FILES = Path(__file__).parent / "ordinary"
PAGE = project_root() / "docs" / "experiments.md"
REFUSED = "refused"

CASES: tuple[tuple[str, str, str], ...] = (
    ("file-is-lost.json", "fail", "probe `file is there` gave false, not true"),
    ("file-comes-back.json", "pass", ""),
    ("http-service.yaml", "pass", ""),
    ("http-down.yaml", "fail", "not 200"),
    ("tolerances.yaml", "pass", ""),
    ("program-is-lost.yaml", "fail", "probe `program` gave null, not"),
    ("tolerance-of-method.yaml", REFUSED, "tolerance type 'regexp' is unsupported"),
    ("tolerance-says-no.yaml", "fail", "Probe `looked at` gave"),
    ("tolerance-missed.yaml", "fail", "Probe `how full is it` gave"),
    ("references.yaml", "pass", ""),
    ("background.yaml", "pass", ""),
    ("configured.yaml", "pass", ""),
    ("controlled.yaml", "pass", ""),
    ("scale-deployment.yaml", "inconclusive", "Action `scale to none` failed"),
    ("dry.yaml", "inconclusive", "It was a dry run (activities)"),
    ("dry-step.yaml", "inconclusive", "Action `touch it` was a dry run (actions)"),
    ("no-hypothesis.yaml", "inconclusive", "There is no steady state"),
    ("not-steady-before.yaml", "inconclusive", "did not hold before the fault"),
    ("unset.yaml", REFUSED, "ORDINARY_UNSET"),
    ("vault.yaml", REFUSED, "configuration.host: type 'vault' is not known here"),
    ("no-such-control.yaml", REFUSED, "control 'guard' cannot be loaded"),
    ("no-such-extension.yaml", REFUSED, "chaosnowhere"),
    ("malformed.yaml", REFUSED, "description"),
    ("only-afterwards.yaml", "pass", "held after the fault"),
    ("all-the-time.yaml", "pass", "times during; the file asks for no other"),
    ("loosely-typed.yaml", "pass", ""),
    ("unasked.yaml", "inconclusive", "The file skips its steady state"),
    ("pattern-of-a-status.yaml", "pass", ""),
    ("no-shell.yaml", "inconclusive", "Action `kill it` ended with exit code 1"),
    ("rollback-by-name.yaml", "pass", ""),
    ("rollback-fails.yaml", "inconclusive", "Action `put back` ended with exit code 1"),
    ("no-probes.yaml", "inconclusive", "There is no steady state"),
    ("rollback-of-nothing.yaml", REFUSED, "rollbacks refer to 'put back', which is no activity"),
    ("misspelt-strategy.yaml", REFUSED, "is 'allways'; did you mean always?"),
    ("vault-secret.yaml", REFUSED, "secrets.api.token: type 'vault' needs the package hvac"),
    ("dry-without-a-word.yaml", REFUSED, "dry is True; give one of activities, actions"),
)


class _Service(BaseHTTPRequestHandler):
    broken: bool

    def do_GET(self) -> None:
        server: Any = self.server
        server.broken |= self.path == "/break"
        status = 503 if server.broken and self.path == "/once" else 200
        body = json.dumps({"items": [{"name": "one"}, {"name": "two"}]}).encode()
        self.rfile.read(int(self.headers["content-length"] or 0))
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the library's name

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the files' variables name: a file, a service, a token; and no cluster."""
    for module in (activity, hypothesis):
        monkeypatch.setattr(module, "run_activity", module.run_activity)
    limit_activities(5.0, 5.0)
    monkeypatch.setattr(hypothesis, "within_tolerance", hypothesis.within_tolerance)
    (tmp_path / "file").touch()
    monkeypatch.setenv("ORDINARY_FILE", str(tmp_path / "file"))
    monkeypatch.setenv("ORDINARY_TOKEN", "t0ken-of-nobody")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with ThreadingHTTPServer(("127.0.0.1", 0), _Service) as server:
        server.broken = False  # type: ignore[attr-defined]
        monkeypatch.setenv("ORDINARY_URL", f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield
        server.shutdown()


@pytest.mark.parametrize(("name", "outcome", "said"), CASES, ids=[name for name, *_ in CASES])
def test_each_kind_of_file_has_its_outcome(name: str, outcome: str, said: str) -> None:
    path = str(FILES / name)
    if outcome == REFUSED:
        with pytest.raises(ExperimentError, match=re.escape(said)):
            load_experiment(path, project_root())
        return
    experiment = load_experiment(path, project_root())
    assert experiment.ordinary
    document = json.loads(json.dumps(experiment.document))
    verdict = judge_journal(name, carry_out(document), [])
    assert verdict.outcome == outcome, verdict.reasons
    assert said in " ".join(verdict.reasons)


def test_every_file_has_a_row_in_the_page() -> None:
    assert {name for name, *_ in CASES} == {path.name for path in FILES.iterdir()}
    rows = [line.split("|") for line in PAGE.read_text(encoding="utf-8").splitlines()]
    shown = {row[1].strip(" `"): row[3].strip() for row in rows if len(row) > 3}
    assert {name: outcome for name, outcome, _ in CASES}.items() <= shown.items()


def test_what_an_extension_breaks_is_listed() -> None:
    """No ledger knows of it: the verdict says what is the business of the file's rollbacks."""
    found = load_experiment(str(FILES / "scale-deployment.yaml"), project_root())
    verdict = judge_journal("x", carry_out(json.loads(json.dumps(found.document))), [])
    assert found.title == "A deployment without replicas"
    named = "`scale to none` (chaosk8s.deployment.actions.scale_deployment)"
    assert f"Only the file's own rollbacks undo what was done by {named}." in verdict.reasons[0]
