"""Runs of the engine against peers that behave, and peers that do not."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import socket
import struct
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from harness import _engine

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@dataclass(frozen=True)
class Outcome:
    """What one run of the engine came to."""

    snapshot: _engine.Snapshot
    slices: list[dict[str, Any]]
    log: list[tuple[Any, ...]]
    examples: list[str]

    def total(self, field_name: str, axis: str = "due") -> int:
        """The sum of a count over the lines of one axis."""
        return sum(s[field_name] for s in self.slices if s["axis"] == axis)

    @property
    def errors(self) -> dict[str, int]:
        """Failures by kind."""
        counts: Counter[str] = Counter()
        for line in self.slices:
            if line["axis"] == "due":
                counts.update(line["errors"])
        return dict(counts)

    def histogram(self, name: str, axis: str = "due") -> _engine.Histogram:
        """The sum of one histogram over the lines of one axis."""
        merged = _engine.Histogram()
        for line in self.slices:
            if line["axis"] == axis and name in line["hist"]:
                merged.add(_engine.Histogram.decode(line["hist"][name]))
        return merged

    def conserved(self) -> bool:
        """Conservation, from the lines of either axis and from the totals."""
        names = ("offered", "completed", "failed", "unfinished")
        totals: dict[str, list[int]] = defaultdict(list)
        for axis in ("due", "done"):
            totals[axis] = [self.total(name, axis) for name in names]
        snapshot = self.snapshot
        whole = [
            snapshot["offered"],
            snapshot["completed"],
            snapshot["failed"],
            snapshot["unfinished"],
        ]
        return (
            snapshot["conserved"] is True
            and snapshot["error"] is None
            and totals["due"] == totals["done"] == whole
            and whole[0] == sum(whole[1:])
        )


Plan = dict[str, Any]
Run = Callable[..., Outcome]


def make_plan(*targets: str, rate: float = 100, duration: float = 0.3, **changes: Any) -> Plan:
    """A small plan: a constant rate on one endpoint."""
    segments = [{"duration_s": duration, "from_rate": rate, "to_rate": rate}]
    return {
        "seed": 1,
        "arrivals": {"kind": "profile", "spacing": "constant", "segments": segments},
        "targets": list(targets),
        "drain_s": 5.0,
        "requests": [{"name": "one", "path": "/"}],
        **changes,
    }


def finish(engine: _engine.Engine, within: float = 20) -> Outcome:
    assert engine.join(within), engine.snapshot()
    return Outcome(
        engine.snapshot(),
        [json.loads(line) for line in engine.poll()],
        engine.take_log(),
        engine.take_examples(),
    )


def run_plan(plan: Plan, within: float = 20) -> Outcome:
    engine = _engine.Engine(json.dumps(plan))
    engine.start()
    return finish(engine, within)


@dataclass
class Peer:
    """A TCP server with one thread for each connection; `heads` are the request heads it read."""

    listener: socket.socket
    handle: Callable[[socket.socket, Peer], None]
    heads: list[str] = field(default_factory=list)
    connections: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)
    open: list[socket.socket] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def serve(self) -> None:
        """Accepts until the listener closes."""
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.connections += 1
                self.open.append(connection)
                threading.Thread(target=self.converse, args=(connection,), daemon=True).start()

    def converse(self, connection: socket.socket) -> None:
        """One connection, to its end."""
        with suppress(OSError), connection:
            self.handle(connection, self)

    def read_head(self, connection: socket.socket) -> str | None:
        """One request, its body included; None at the end of the stream."""
        data = b""
        while b"\r\n\r\n" not in data:
            part = connection.recv(65536)
            if not part:
                return None
            data += part
        head, _, rest = data.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        while len(rest) < length:
            rest += connection.recv(65536)
        text = (head + b"\r\n\r\n" + rest).decode(errors="replace")
        self.heads.append(text)
        return text

    def stop(self) -> None:
        """Closes everything."""
        self.stopped.set()
        with suppress(OSError):
            # Closing alone would leave a blocked accept in possession of the port.
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def answering(response: bytes = OK) -> Callable[[socket.socket, Peer], None]:
    """Answers every request on a connection with the same bytes."""

    def handle(connection: socket.socket, peer: Peer) -> None:
        while peer.read_head(connection) is not None:
            connection.sendall(response)

    return handle


def then_close(response: bytes) -> Callable[[socket.socket, Peer], None]:
    """Answers one request with these bytes and closes the connection."""

    def handle(connection: socket.socket, peer: Peer) -> None:
        peer.read_head(connection)
        connection.sendall(response)

    return handle


def reset(connection: socket.socket) -> None:
    """Closes with RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.fixture
def peer() -> Iterator[Callable[[Callable[[socket.socket, Peer], None]], Peer]]:
    peers: list[Peer] = []

    def start(handle: Callable[[socket.socket, Peer], None]) -> Peer:
        made = Peer(socket.create_server(("127.0.0.1", 0), backlog=1024), handle)
        threading.Thread(target=made.serve, daemon=True).start()
        peers.append(made)
        return made

    yield start
    for made in peers:
        made.stop()


@pytest.fixture
def dead_port() -> int:
    """A port of 127.0.0.1 on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture
def null_server() -> Iterator[str]:
    server = _engine.NullServer()
    yield f"http://127.0.0.1:{server.port}"
    server.stop()


@dataclass(frozen=True)
class Pki:
    """PEM files: an authority, a server's chain for localhost and 127.0.0.1, a stranger."""

    ca: Path
    certificate: Path
    key: Path
    other_ca: Path


def _authority(name: str) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    constraints = x509.BasicConstraints(ca=True, path_length=None)
    builder = _today(_builder(subject, subject, key)).add_extension(constraints, critical=True)
    return builder.sign(key, hashes.SHA256()), key


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
    )


def _today(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return builder.not_valid_before(now - dt.timedelta(hours=1)).not_valid_after(
        now + dt.timedelta(days=2)
    )


def self_signed(folder: Path, name: str = "localhost", *, days: int = 2) -> tuple[Path, Path]:
    """PEM files of a certificate that is its own authority, as `openssl req -x509` makes it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        _builder(subject, subject, key)
        .not_valid_before(now - dt.timedelta(days=9))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(private)
    return folder / "certificate.pem", folder / "key.pem"


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    folder = tmp_path_factory.mktemp("pki")
    ca, ca_key = _authority("test authority")
    other, _ = _authority("another authority")
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName(
        [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    certificate = (
        _today(_builder(subject, ca.subject, key))
        .add_extension(names, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    files = {
        "ca.pem": ca.public_bytes(pem),
        "certificate.pem": certificate.public_bytes(pem),
        "other.pem": other.public_bytes(pem),
        "key.pem": key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return Pki(
        folder / "ca.pem", folder / "certificate.pem", folder / "key.pem", folder / "other.pem"
    )
