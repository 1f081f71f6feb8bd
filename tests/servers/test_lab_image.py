"""An image by the local Docker engine as the replicas of a lab: asked, broken and ended."""

from __future__ import annotations

import io
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import httpx
import psutil
import pytest

from harness.bounded import wait_until
from harness.errors import PlatformError
from harness.platform.lab.options import LabOptions
from harness.platform.lab.own import LABEL
from harness.platform.lab.platform import Lab
from harness.project import url_service
from harness.session.own import parse_lab
from tests.platform.conftest import Inside

pytestmark = pytest.mark.docker

SERVER = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(open('/proc/self/stat').read().split(')')[1].split()[19].encode())
    def log_message(self, *words):
        pass
print('listening', flush=True)
http.server.ThreadingHTTPServer.handle_error = lambda *words: None
at = ('127.0.0.1', int(os.environ['PORT']))
http.server.ThreadingHTTPServer(at, Handler).serve_forever()
"""
"""Each start has its time as the answer. The first process of a container, it has no handler for
SIGTERM, so that the kernel ignores the signal."""

COMMANDS = {
    "sound": ["python3", "-c", SERVER],
    "ends": ["python3", "-c", "raise SystemExit('no database')"],
}
MINE = url_service("mine", "http://127.0.0.1/")
Begin = Callable[..., Inside]


@pytest.fixture(scope="module")
def engine(image: str) -> Iterator[docker.DockerClient]:
    """An engine that has an image for each of COMMANDS."""
    client = docker.from_env(timeout=60)
    for name, command in COMMANDS.items():
        recipe = f"FROM {image}\nENTRYPOINT {json.dumps(command)}\n"
        tag = f"codai-harness-{name}:test"
        client.images.build(fileobj=io.BytesIO(recipe.encode()), tag=tag, rm=True)
    yield client
    client.close()


@pytest.fixture
def begin(engine: docker.DockerClient, tmp_path: Path) -> Iterator[Begin]:
    """Starts labs of an image and ends them after the test, of which nothing may be left."""
    labs: list[Lab] = []

    def start(name: str = "sound", *, edges: bool = False, **words: object) -> Inside:
        given = {"image": f"codai-harness-{name}:test", "ready_within": "20s", **words}
        program, shape = parse_lab({**given, "stop_within": "500ms"}, "mine", tmp_path)
        lab = Lab(LabOptions(program=program, replicas=1, edges=edges, **shape))
        labs.append(lab)
        lab.start((MINE,))
        lab.wait_ready()
        return Inside(lab)

    yield start
    for lab in labs:
        lab.stop()
    assert left(engine) == []


def left(engine: docker.DockerClient) -> list[object]:
    """The containers of labs, in whatever state."""
    found: list[object] = engine.containers.list(all=True, sparse=True, filters={"label": LABEL})
    return found


def test_its_container_is_killed_paused_and_ended_though_it_ignores_sigterm(begin: Begin) -> None:
    inside = begin()
    url = f"{inside.lab.target(MINE).urls[0]}/"
    first = httpx.get(url).text
    with inside.broken(MINE, "pause-replicas"), pytest.raises(httpx.ReadTimeout):
        httpx.get(url, timeout=0.5)
    assert httpx.get(url).text == first
    with inside.broken(MINE, "kill-replicas"):
        pass
    assert httpx.get(url).text != first
    assert inside.lab.log_ends(MINE)["mine-us-east-1-0"] == ("listening", "listening")


def test_a_lab_that_is_killed_leaves_no_container_and_no_process(
    begin: Begin, engine: docker.DockerClient
) -> None:
    lab = begin(edges=True).lab
    directory = str(lab.directory)
    assert left(engine)
    assert processes_of(directory)
    os.kill(lab.pid or 0, signal.SIGKILL)
    assert wait_until(lambda: not left(engine) and not processes_of(directory), 10.0)


def processes_of(directory: str) -> list[int]:
    """Those that a lab's directory is named to, as its edges."""
    found = psutil.process_iter(["cmdline"])
    return [each.pid for each in found if directory in " ".join(each.info["cmdline"] or ())]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"name": "ends"}, "'codai-harness-ends:test' ended with exit code 1 .no database"),
        ({"name": "absent"}, "the Docker engine has none of that name"),
        ({"bad_release": "no/such:image"}, "--image no/such:image: the Docker engine has none"),
    ],
)
def test_an_image_that_cannot_be_run_is_one_line(
    begin: Begin, words: dict[str, str], says: str
) -> None:
    with pytest.raises(PlatformError, match=says) as refusal:
        begin(**words)
    assert "\n" not in str(refusal.value)


def test_an_engine_that_does_not_answer_is_one_line(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent")
    with pytest.raises(PlatformError, match="no Docker engine answers"):
        begin()
