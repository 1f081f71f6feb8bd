"""Whatever is read from elsewhere has a bound of size, depth and time."""

from __future__ import annotations

import gzip
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness import bounded, prometheus, storage
from harness.baseline.document import read_text
from harness.bounded import read_file, within
from harness.catalog.model import Service
from harness.catalog.yaml_documents import read_mapping
from harness.errors import BaselineError, CatalogError, HarnessError, PlatformError
from harness.platform import url as platform_url
from harness.platform.url import Url
from harness.prometheus import Prometheus, PrometheusError
from harness.storage import read_lines, read_object
from tests.record import synthetic

OK = b"HTTP/1.1 200 OK\r\n"


@contextmanager
def answering(*parts: bytes, pause_s: float = 0.0) -> Iterator[str]:
    """A server whose answer to each connection is these parts, with a pause before each."""
    ended = threading.Event()

    def serve(line: socket.socket) -> None:
        with line:
            line.recv(65_536)
            for part in parts:
                if ended.wait(pause_s):
                    return
                try:
                    line.sendall(part)
                except OSError:
                    return

    def accept() -> None:
        while not ended.is_set():
            try:
                line, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(line,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        ended.set()


@pytest.fixture
def service() -> Service:
    return synthetic.service()


def test_a_health_probe_ends_in_time_though_every_byte_comes_in_time(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform_url, "TIMEOUT_S", 0.2)
    dripping = [b"%c" % byte for byte in OK * 100]
    begin = time.monotonic()
    with (
        answering(*dripping, pause_s=0.05) as url,
        pytest.raises(PlatformError, match=r"no answer within 0\.2 s"),
        Url(url).provision(service),
    ):
        pass
    assert time.monotonic() - begin < 20  # all of it would take a minute and a half


FLOODS = {
    "gzip": (b"content-encoding: gzip\r\n\r\n" + gzip.compress(bytes(1 << 20)), "compresses"),
    "flood": (b"\r\n" + bytes(1 << 16) * 17, "larger than 1 MiB"),
    "depth": (b"\r\n" + b"[" * 100_000, "is no Prometheus"),
    "digits": (b'\r\n{"status": ' + b"9" * 10_000 + b"}", "is no Prometheus"),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_from_prometheus_is_one_line(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "MOST_BYTES", 1 << 20)
    text, says = FLOODS[kind]
    with answering(OK + text) as url, pytest.raises(PrometheusError, match=says):
        Prometheus(url).value("up")


def test_a_prometheus_that_drips_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "ANSWER_S", 0.2)
    begin = time.monotonic()
    with (
        answering(OK + b"\r\n", *([b" "] * 2000), pause_s=0.05) as url,
        pytest.raises(PrometheusError, match="does not answer"),
    ):
        Prometheus(url).value("up")
    assert time.monotonic() - begin < 20


def test_what_a_bounded_call_gives_and_raises_comes_through() -> None:
    assert within(5.0, lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        within(5.0, lambda: 1 // 0)
    with pytest.raises(TimeoutError):
        within(0.01, threading.Event().wait)


READERS: dict[str, Callable[[Path], object]] = {
    "record": read_object,
    "lines of a record": read_lines,
    "baseline": read_text,
    "description": read_mapping,
}


@pytest.mark.parametrize("reader", READERS)
def test_a_fifo_is_not_waited_for(reader: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(HarnessError, match="not a regular file"):
        READERS[reader](tmp_path / "pipe")


@pytest.mark.parametrize("reader", READERS)
def test_a_file_too_large_is_not_read(
    reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "large").write_bytes(b" " * ((2 << 20) + 1))

    def small(path: Path, most: int = 2 << 20) -> bytes:
        return bounded.read_file(path, most)

    monkeypatch.setattr(storage, "read_file", small)
    monkeypatch.setattr("harness.baseline.document.read_file", small)
    with pytest.raises(HarnessError, match=r"larger than [12] MiB"):
        READERS[reader](tmp_path / "large")


def test_a_file_as_large_as_allowed_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert read_file(tmp_path / "file", 5) == b"12345"
    with pytest.raises(OSError, match="larger"):
        read_file(tmp_path / "file", 4)
    with pytest.raises(IsADirectoryError):
        read_file(tmp_path, 4)


@pytest.mark.parametrize(
    "text",
    [
        "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40)),
        "a0: &a0 {b: x}\n" + "".join(f"a{n}: &a{n} {{b: *a{n - 1}, c: *a{n - 1}}}\n"
                                     for n in range(1, 40)),
        "a: &a [*a, 1]\n",
        "a: &a {b: *a, c: 1}\n",
    ],
)  # fmt: skip
def test_aliases_of_aliases_and_of_themselves_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(CatalogError, match="aliases stand for too many"):
        read_mapping(tmp_path / "x.yaml")


def test_a_damaged_baseline_names_its_file(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_bytes(b"\xff")
    with pytest.raises(BaselineError, match=r"b\.json"):
        read_text(tmp_path / "b.json")
