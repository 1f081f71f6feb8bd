"""A service that runs anyhow: load goes to the URL the user named, and nothing is broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, TypedDict
from urllib.parse import urlsplit

from harness.bounded import within
from harness.catalog.model import Service
from harness.errors import CapabilityMissing, NoAnswer, PlatformError
from harness.faults.draw import ANY, Among
from harness.faults.registry import kinds
from harness.platform.model import Fault, Platform, Proof, Target, Through
from harness.platform.undo import UndoRecord

TIMEOUT_S = 5.0
NO_FAULTS = "a plain URL gives no hold on what is behind it; use the lab or a cluster"
TRUST = "set SSL_CERT_FILE to a PEM file with its CA"
"""Both the probe here and the engine take the CAs of the system from there."""

_PORTS = {"http": 80, "https": 443}


class UrlHandle(TypedDict):
    """What another process needs of a URL."""

    platform: Literal["url"]
    url: str
    host: str | None
    ca_file: str | None
    verify: bool
    http2: bool


class Url(Platform):
    """One URL; raises PlatformError at once when it cannot be one.

    `ca_file`, `verify`, `http2` and `host` (the Host header) are handed on to the load.
    """

    name = "url"

    def __init__(
        self,
        url: str,
        *,
        host: str | None = None,
        ca_file: str | None = None,
        verify: bool = True,
        http2: bool = False,
    ) -> None:
        self.url = _checked(url)
        self._host = host
        self._ca_file = ca_file
        self._verify = verify
        self._http2 = http2

    @classmethod
    def from_handle(cls, handle: UrlHandle) -> Url:
        """The URL whose `handle()` this is."""
        return cls(
            handle["url"],
            host=handle["host"],
            ca_file=handle["ca_file"],
            verify=handle["verify"],
            http2=handle["http2"],
        )

    @contextmanager
    def provision(self, service: Service) -> Iterator[None]:
        """Ask the health path once: any HTTP answer will do."""
        _reach(self.url + service.health_path, self._ca_file, verify=self._verify)
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
            host=self._host,
            http2=self._http2,
            ca_file=self._ca_file,
            verify=self._verify,
            environment={"platform": self.name, "url": self.url, "replicas": None},
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

    def proof(self, heal: UndoRecord) -> Proof:
        """Nothing was broken, nothing is in effect."""
        return Proof(in_effect=False, statement=NO_FAULTS)

    def handle(self) -> UrlHandle:
        """All that was given."""
        return {
            "platform": "url",
            "url": self.url,
            "host": self._host,
            "ca_file": self._ca_file,
            "verify": self._verify,
            "http2": self._http2,
        }


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


def _reach(url: str, ca_file: str | None, *, verify: bool) -> None:
    """GET once; raises PlatformError where no HTTP answer comes."""
    import ssl  # noqa: PLC0415 - only a URL run pays for it

    import httpx  # noqa: PLC0415

    try:
        context = ssl.create_default_context(cafile=ca_file) if verify else False
    except (OSError, ssl.SSLError) as problem:
        raise PlatformError(f"CA file {ca_file}: {problem}", "give a PEM file") from None

    def ask() -> None:
        # The body is left unread: it may be of any length.
        with httpx.stream("GET", url, timeout=TIMEOUT_S, verify=context, trust_env=False):
            pass

    failures: tuple[tuple[type[Exception], Callable[[str], bool], str, str], ...] = (
        (httpx.ConnectError, _is_resolution, "the name does not resolve", "check its spelling"),
        (httpx.ConnectError, _is_certificate, "the certificate does not verify", TRUST),
        (httpx.ConnectError, _any, "nothing accepts connections there", "start the service"),
        (httpx.TimeoutException, _any, f"no answer within {TIMEOUT_S:g} s", "check the address"),
        (httpx.HTTPError, _any, "what answers there does not speak HTTP", "check the port"),
    )
    try:
        within(TIMEOUT_S, ask)
    except TimeoutError:
        raise PlatformError(
            f"target {url}: no answer within {TIMEOUT_S:g} s", "check the address"
        ) from None
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as problem:
        for kind, holds, what, remedy in failures:
            if isinstance(problem, kind) and holds(str(problem)):
                silent = kind is httpx.TimeoutException or holds is _any
                error = NoAnswer if silent else PlatformError
                raise error(f"target {url}: {what} ({problem})", remedy) from None
        raise PlatformError(f"target {url!r}: {problem}", "check the URL") from None


def _any(text: str) -> bool:
    return True


def _is_resolution(text: str) -> bool:
    words = ("Name or service not known", "nodename nor servname", "name resolution", "No address")
    return any(word in text for word in words)


def _is_certificate(text: str) -> bool:
    return "CERTIFICATE_VERIFY_FAILED" in text
