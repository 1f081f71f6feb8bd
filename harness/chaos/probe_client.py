"""An HTTP connection to one entry point of a service, over the standard library's client."""

import http.client
import json
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

REGION_HEADER = "x-region"
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to ask: `where` is its name in the record, `url` its base.

    `path` and `expected` stand in for what the others are asked; `source` is the address that the
    connection comes from, for a link that only some can see cut; `server_name` whom a TLS server
    must be, where it is not the URL's host.
    """

    where: str
    url: str
    host: str | None = None
    ca_file: str | None = None
    verify: bool = True
    path: str | None = None
    expected: str | None = None
    source: str | None = None
    server_name: str | None = None

    def connect(self, timeout_s: float) -> http.client.HTTPConnection:
        """A connection that is not open yet."""
        parts = urlsplit(self.url)
        host, port = parts.hostname or "localhost", parts.port
        source = (self.source, 0) if self.source else None
        if parts.scheme != "https":
            return http.client.HTTPConnection(host, port, timeout_s, source)
        context = ssl.create_default_context(cafile=self.ca_file)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        made = _Secured(host, port, timeout=timeout_s, source_address=source, context=context)
        made.server_name = self.server_name or host
        return made


class _Secured(http.client.HTTPSConnection):
    """A connection to an address whose server has a name of its own."""

    server_name: str

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = self._context.wrap_socket(self.sock, server_hostname=self.server_name)  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: `status` None with the `error` kind when nothing did."""

    status: int | None
    body: bytes
    region: str | None
    latency_s: float
    error: str | None
    retry_after: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the status is one of success."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004

    @property
    def document(self) -> object:
        """The body as JSON, None where it is none."""
        try:
            found: object = json.loads(self.body)
        except ValueError:
            return None
        return found


def ask(
    connection: http.client.HTTPConnection,
    entry_point: Endpoint,
    path: str,
    headers: Mapping[str, str],
) -> Answer:
    """One GET, up to a mebibyte of its answer.

    A connection that fails, or whose answer is longer, opens itself anew when it is used again.
    """
    begin = time.monotonic()
    prefix = urlsplit(entry_point.url).path.rstrip("/")
    sent = {**headers, **({"host": entry_point.host} if entry_point.host else {})}
    try:
        connection.request("GET", prefix + path, headers=sent)
        response = connection.getresponse()
        body = response.read(_MOST_BYTES)
        region, later = response.getheader(REGION_HEADER), response.getheader("retry-after")
        took = time.monotonic() - begin
        if not response.isclosed():
            connection.close()
        return Answer(response.status, body, region, took, None, later)
    except (OSError, http.client.HTTPException) as problem:
        connection.close()
        return Answer(None, b"", None, time.monotonic() - begin, kind_of(problem))


def is_right(entry_point: Endpoint, path: str, timeout_s: float, expected: str) -> bool:
    """Whether a fresh connection's answer is 2xx and holds the text."""
    answer = ask(entry_point.connect(timeout_s), entry_point, path, {"accept": "application/json"})
    return answer.ok and expected in answer.body.decode(errors="replace")


def kind_of(problem: Exception) -> str:
    """The error kinds of the load engine, for what Python raises."""
    for kind, name in (
        (ssl.SSLError, "tls"),
        (TimeoutError, "timeout"),
        (ConnectionRefusedError, "refused"),
        (http.client.RemoteDisconnected, "eof"),
        (ConnectionResetError, "reset"),
        (BrokenPipeError, "reset"),
        (socket.gaierror, "resolve"),
        (http.client.HTTPException, "protocol"),
    ):
        if isinstance(problem, kind):
            return name
    return "unreachable"
