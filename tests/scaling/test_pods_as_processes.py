"""The pods of load Jobs as processes of this machine: what is shipped is all that they need."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.load.kubernetes import manifests
from harness.load.kubernetes.options import JobOptions
from harness.load.plan import LoadPlan
from harness.platform.model import Target
from harness.traffic.profiles import closed
from harness.traffic.scenario import load_model
from tests.engine.conftest import self_signed
from tests.platform.replica import free_port
from tests.record.synthetic import service

pytestmark = pytest.mark.slow

LOCUSTFILE = """
from locust import HttpUser, constant, task
from paths import FIRST

class Shopper(HttpUser):
    wait_time = constant(0.05)

    @task
    def browse(self):
        self.client.get(FIRST)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server with a self-signed certificate: its URL and the certificate."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    certificate, key = self_signed(tmp_path / "tls-of-the-server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.socket = context.wrap_socket(found.socket, server_side=True)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield f"https://localhost:{found.server_port}", certificate
    found.shutdown()
    found.server_close()


def shipped(plan: LoadPlan, root: Path) -> None:
    """Write what is mounted into the pods below `root` instead of /run/load."""
    documents: list[Any] = [
        manifests.plan_secret(plan, "r"), manifests.scenario_map(plan, "r"),
        manifests.tls_secret(plan, "r"),
    ]  # fmt: skip
    for document, name in zip(documents, ("plan", "scenario", "tls"), strict=True):
        (root / name).mkdir(parents=True)
        for file, content in document["data"].items():
            secret = document["kind"] == "Secret"
            text = base64.b64decode(content).decode() if secret else content
            (root / name / file).write_text(text.replace("/run/load", str(root)))
    (root / "owner").mkdir()
    (root / "owner" / manifests.HEARTBEAT_FILE).write_text("1")


def test_a_locustfile_runs_over_tls_from_what_is_mounted_alone(
    server: tuple[str, Path], tmp_path: Path
) -> None:
    """Two workers, a module beside the file and a CA: users of both, each request accounted for."""
    url, certificate = server
    (tmp_path / "locustfile.py").write_text(LOCUSTFILE)
    (tmp_path / "paths.py").write_text('FIRST = "/first"\n')
    traffic = load_model(service(), str(tmp_path / "locustfile.py"), tmp_path)
    users = closed(4, 2.0, spawn_rate=8.0)
    target = Target("memorai", (url,), "service", "here", ca_file=str(certificate))
    plan = LoadPlan(
        target, traffic, replace(users, segments=users.segments[1:]), workers=2, drain_s=2.0,
        probe=False,
    )  # fmt: skip
    root = tmp_path / "run"
    shipped(plan, root)
    for name in ("locustfile.py", "paths.py"):
        (tmp_path / name).unlink()
    certificate.unlink()
    port = str(free_port())
    jobs: list[Any] = [
        manifests.master_job(plan, JobOptions("load"), "r", {}),
        *[manifests.worker_job(plan, JobOptions("load"), "r", {}, "127.0.0.1")] * 2,
    ]
    with ExitStack() as stack:
        pods = []
        for job in jobs:
            (container,) = job["spec"]["template"]["spec"]["containers"]
            _, *words = container["command"]
            words = [word.replace("/run/load", str(root)) for word in words]
            words = [port if word == str(manifests.PORT) else word for word in words]
            pod = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE)
            pods.append(stack.enter_context(pod))
            stack.callback(pod.kill)
        said = [json.loads(line) for line in pods[0].stdout or ()]
    end = said[-1]
    assert (end["type"], end["conserved"], end["errors"], end["unknown"]) == ("end", True, [], [])
    assert end["totals"]["completed"] == end["totals"]["offered"] > 20
    slices = [each["slice"] for each in said if each["type"] == "slice"]
    assert {row["endpoint"] for row in slices} == {"/first"}
    assert {each["worker"] for each in said if each["type"] == "slice"} == {0, 1}
