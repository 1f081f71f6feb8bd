"""A service that runs anyhow: load goes to the URL the user named, and nothing is broken."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, TypedDict
from urllib.parse import urlsplit

from harness.catalog.model import Service
from harness.errors import CapabilityMissing, NoAnswer, PlatformError
from harness.faults.draw import ANY, Among
from harness.faults.registry import kinds
from harness.platform.connection import engine_connection
from harness.platform.model import Fault, Platform, Proof, Target, Through
from harness.platform.undo import UndoRecord

TIMEOUT_S = 5.0
NO_FAULTS = "a plain URL gives no hold on what is behind it; use the lab or a cluster"
TRUST = "give a PEM file with its CA (--cacert or SSL_CERT_FILE), or trust any (--insecure)"

_PORTS = {"http": 80, "https": 443}


class UrlHandle(TypedDict):
    """What another process needs of a URL."""

    platform: Literal["url"]
    url: str
    connect: dict[str, Any]


class Url(Platform):
    """One URL; raises PlatformError at once when it cannot be one.

    `connect` are fields of a Target that say how it is reached (`harness.platform.connection`).
    """

    name = "url"

    def __init__(self, url: str, **connect: Any) -> None:
        self.url = _checked(url)
        self._connect = connect

    @classmethod
    def from_handle(cls, handle: UrlHandle) -> Url:
        """The URL whose `handle()` this is."""
        return cls(handle["url"], **handle["connect"])

    @contextmanager
    def provision(self, service: Service) -> Iterator[None]:
        """Ask the health path once: any HTTP answer will do."""
        _reach(self.target(service), service.health_path)
        yield

    def target(
        self, service: Service, through: Through = "service", region: str | None = None
    ) -> Target:
        """The URL itself, whatever the way asked for."""
        return Target(
            service=service.name,
            urls=(self.url,),
            through=through,
            description=f"{self.url} (as named; what is behind it is unknown)",
            environment={"platform": self.name, "url": self.url, "replicas": None},
            **self._connect,
        )

    def capabilities(self) -> Mapping[str, str | None]:
        """Every fault kind is missing, for one reason."""
        return dict.fromkeys(kinds(), NO_FAULTS)

    def plan_heal(
        self, service: Service, fault: Fault, fault_id: str, among: Among = ANY
    ) -> UndoRecord:
        """Nothing is within reach: raises CapabilityMissing."""
        raise CapabilityMissing(f"{self.url}: {fault.kind}", NO_FAULTS)

    def inject(self, service: Service, fault: Fault, heal: UndoRecord) -> None:
        """Raises CapabilityMissing."""
        raise CapabilityMissing(f"{self.url}: {fault.kind}", NO_FAULTS)

    def heal(self, heal: UndoRecord) -> None:
        """Nothing was broken, nothing is to undo."""

    def verify(self, heal: UndoRecord) -> Proof:
        """Nothing was broken, nothing is in effect."""
        return Proof(in_effect=False, statement=NO_FAULTS)

    def handle(self) -> UrlHandle:
        """All that was given."""
        return {"platform": "url", "url": self.url, "connect": self._connect}


def _checked(url: str) -> str:
    """The URL without a trailing slash; PlatformError tells what is wrong with it."""
    remedy = "give it as http://host:port or https://host"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as problem:
        raise PlatformError(f"target {url!r}: {problem}", remedy) from None
    if parts.scheme not in _PORTS or "://" not in url:
        raise PlatformError(f"target {url!r}: no scheme http or https", remedy)
    try:
        (host or "").encode("idna")
    except UnicodeError:
        raise PlatformError(f"target {url!r}: {host!r} is no host name", remedy) from None
    if not host or any(ord(letter) <= ord(" ") for letter in url):
        raise PlatformError(f"target {url!r}: no host in it", remedy)
    if port == 0:
        raise PlatformError(f"target {url!r}: port 0", remedy)
    if parts.username or parts.query or parts.fragment:  # not repeated: a password may be in it
        raise PlatformError(f"target {host}: user, query or fragment in the URL", remedy)
    return url.rstrip("/")


def _reach(target: Target, path: str) -> None:
    """GET once, by the engine itself; raises PlatformError where no HTTP answer comes."""
    from harness._engine import Engine  # noqa: PLC0415 - only a URL run pays for it

    request = {"name": "reach", "path": path.replace("{", "{{").replace("}", "}}")}
    plan = {
        **engine_connection(target),
        "arrivals": {"kind": "replay", "due_ns": [0]},
        "requests": [{**request, "timeout_s": TIMEOUT_S}],
        "connect_timeout_s": TIMEOUT_S,
        "max_body_bytes": 0,  # the body is left unread: it may be of any length
    }
    try:
        engine = Engine(json.dumps(plan))
    except (ValueError, OSError) as problem:
        words = str(problem.args[-1]).removeprefix("plan field ")
        raise PlatformError(f"target {target.urls[0]}: {words}", "correct the option") from None
    engine.start()
    engine.join(2 * TIMEOUT_S)
    lines = [json.loads(line) for line in engine.poll()]
    if any(line.get("statuses") for line in lines):
        return
    kind = next((kind for line in lines for kind in line["errors"]), "timeout")
    reasons = [json.loads(text).get("message") for text in engine.take_examples()]
    said = "".join(f" ({reason})" for reason in reasons if reason)
    what, remedy = _FAILURES.get(kind, (f"no answer ({kind})", "check the address"))
    if kind in {"timeout", "connect_timeout"}:
        what = f"no answer within {TIMEOUT_S:g} s"
    elif target.proxy and (what, remedy) == _SILENT:
        what, remedy = "nothing accepts connections at the proxy", "check --proxy"
    elif _may_want_a_certificate(target, kind, said):
        what = "the server ends TLS connections"
        remedy = "check the port; name your --cert where it asks for one"
    elif target.http2 and (what, remedy) == _NO_HTTP:
        what, remedy = "what answers there does not speak HTTP/2", "leave out --http2"
    error = PlatformError if kind in _MISTAKES else NoAnswer
    raise error(f"target {target.urls[0]}{path}: {what}{said}", remedy)


def _may_want_a_certificate(target: Target, kind: str, said: str) -> bool:
    """Whether a server of TLS ended the connection as one does that knows no client of ours.

    Under TLS 1.3 the client's handshake is over before the server looks at its certificate.
    """
    if target.cert_file or not target.urls[0].startswith("https:"):
        return False
    return kind in {"eof", "reset"} or (kind == "tls" and (not said or "received fatal" in said))


_SILENT = ("nothing accepts connections there", "start the service")
_NO_HTTP = ("what answers there does not speak HTTP", "check the port")
_FAILURES = {
    "resolve": ("the name does not resolve", "check its spelling"),
    "refused": _SILENT,
    "unreachable": _SILENT,
    "eof": _NO_HTTP,
    "reset": _NO_HTTP,
    "protocol": _NO_HTTP,
    "tls": ("the TLS handshake failed", TRUST),
    "proxy": ("no tunnel", "check --proxy"),
}
_MISTAKES = ("resolve", "tls", "proxy")
"""Kinds of failures that say nothing of the service: the address or an option is wrong."""
