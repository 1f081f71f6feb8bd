"""Following a log whose connections break, against a log server that breaks them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from kubernetes import client

from harness.load.kubernetes import follow
from harness.load.kubernetes.follow import Follower
from harness.load.kubernetes.watch import state

LINES = 300
END = {"type": "end", "conserved": True, "totals": {}, "unknown": [], "errors": []}


class Log(ThreadingHTTPServer):
    """The API server's log of one pod; each connection gives `give` lines and breaks in one."""

    def __init__(self, give: int, kept_from: int = 0, *, end: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.give, self.kept_from, self.end = give, kept_from, end
        self.asked: list[dict[str, list[str]]] = []
        self.sent = 0

    def lines(self) -> list[bytes]:
        """All that was ever written."""
        found = [
            json.dumps({"line": n, "type": "lines_missing", "count": n}, separators=(",", ":"))
            for n in range(LINES)
        ]
        if self.end:
            found.append(json.dumps({"line": LINES, **END}, separators=(",", ":")))
        return [line.encode() + b"\n" for line in found]


class Answer(BaseHTTPRequestHandler):
    """One connection."""

    def do_GET(self) -> None:
        """Give some lines, the last one not whole."""
        log = self.server
        assert isinstance(log, Log)
        asked = parse_qs(urlsplit(self.path).query)
        log.asked.append(asked)
        self.send_response(200)
        self.end_headers()
        lines = log.lines()
        # A new connection is given a few lines twice, or from where the log was cut.
        begin = max(log.kept_from, log.sent - 3 if "sinceSeconds" in asked else 0)
        end = begin + log.give
        log.sent = max(log.sent, min(end, len(lines)))
        body = b"".join(lines[begin:end])
        self.wfile.write(body if end >= len(lines) else body[:-4])
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Not a word."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "RECONNECT_S", 0.01)
    monkeypatch.setattr(follow, "AFTER_POD_S", 0.5)


def run(log: Log, *, ended: bool = False) -> Iterator[dict[str, object]]:
    threading.Thread(target=log.serve_forever, args=(0.01,), daemon=True).start()
    configuration = client.Configuration(host=f"http://127.0.0.1:{log.server_port}")
    core = client.CoreV1Api(client.ApiClient(configuration))
    follower = Follower(core, "n", "p", closing=threading.Event(), ended=lambda: ended, limit_s=20)
    try:
        for message in follower.messages():
            yield {**message, "missing": follower.lines.missing}
    finally:
        log.shutdown()
        log.server_close()


def test_a_log_that_breaks_off_again_and_again_is_read_whole() -> None:
    """Each message once and in order; a new connection asks only for the last seconds."""
    log = Log(give=17)
    found = list(run(log))
    assert [each.get("count") for each in found[:-1]] == list(range(LINES))
    assert found[-1]["type"] == "end"
    assert found[-1]["missing"] == 0
    assert len(log.asked) > 10
    assert "sinceSeconds" not in log.asked[0]
    assert all("sinceSeconds" in each for each in log.asked[1:])


def test_what_a_rotated_log_lost_is_counted_not_guessed() -> None:
    """It asks once for the whole log, then goes on with what there is."""
    log = Log(give=1000, kept_from=40)
    found = list(run(log))
    assert found[-1]["type"] == "end"
    assert found[-1]["missing"] == 40


def test_a_pod_that_ended_without_its_last_word_is_given_up() -> None:
    """Soon, not at the run's limit."""
    found = list(run(Log(give=1000, end=False), ended=True))
    assert len(found) == LINES


def pod(phase: str, **fields: object) -> client.V1Pod:
    return client.V1Pod(
        metadata=client.V1ObjectMeta(name="p"),
        status=client.V1PodStatus(phase=phase, **fields),
    )


def test_the_end_of_a_pod_is_told_with_its_reason() -> None:
    """Evicted, out of memory, preempted: in the cluster's words."""
    evicted = pod("Failed", reason="Evicted", message="The node was low on resource: memory.")
    assert state(evicted) == "Failed: Evicted; The node was low on resource: memory."
    killed = client.V1ContainerState(
        terminated=client.V1ContainerStateTerminated(exit_code=137, reason="OOMKilled")
    )
    status = client.V1ContainerStatus(
        name="load", image="i", image_id="i", ready=False, restart_count=0,
        state=killed, last_state=client.V1ContainerState(),
    )  # fmt: skip
    assert state(pod("Failed", container_statuses=[status])) == "Failed: OOMKilled (exit code 137)"
    disrupted = client.V1PodCondition(
        type="DisruptionTarget", status="True", reason="EvictionByEvictionAPI", message="drained"
    )
    assert "EvictionByEvictionAPI, drained" in state(pod("Running", conditions=[disrupted]))
    assert state(pod("Running")) == "Running"
