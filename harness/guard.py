"""The production guard: one decision on where load and faults may go, for every way in."""

from __future__ import annotations

import ipaddress
import re
import socket
import sys
import threading
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from harness.catalog.model import Environment, Service
from harness.catalog.production import is_production_name
from harness.errors import UsageError

RESOLVE_S = 2.0
"""For all host names together; what did not resolve by then shares no address with anything."""

_PORTS = {"http": 80, "https": 443}
_IN_CLUSTER = re.compile(r"\.(?:svc|pod)(?:\..+)?$")
_confirmed: set[str] = set()
"""Hosts that somebody at the terminal has typed: a gate makes many runs and asks once."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host in its one normal form (see `normal_host`) and a port."""

    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Address:
        """The address of a URL; raises ValueError for a port that is none."""
        parts = urlsplit(url)
        return cls(normal_host(parts.hostname or ""), parts.port or _PORTS.get(parts.scheme, 0))


def normal_host(host: str) -> str:
    """Lower case ASCII (IDNA) without the last dot; an IP address, however written, as its text.

    `127.1`, `2130706433`, `0x7f.0.0.1` and `::ffff:127.0.0.1` are all 127.0.0.1.
    """
    host = host.rstrip(".").lower()
    try:
        host = host.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return host  # it resolves nowhere
    found = _ip(host)
    return host if found is None else str(found)


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except OSError:
            return None
    return getattr(found, "ipv4_mapped", None) or found


def check_place(
    services: Iterable[Service],
    *,
    urls: Iterable[str] = (),
    names: Iterable[str | None] = (),
    production: bool = False,
    allowed: Collection[str] = (),
) -> None:
    """Raise UsageError unless load and faults may go to these URLs and places of a cluster.

    `services` are all of the catalogue: whose production it is does not matter. `names` are
    namespaces, contexts and clusters. Production needs `production`. A host that is neither
    loopback nor that of another environment, or that shares an address with production, must be
    among `allowed` (hosts, with or without a port) or typed at the terminal.
    """
    if production:
        return
    environments = [each for service in services for each in service.environments]
    real = [each for each in environments if each.production]
    for name in names:
        if name and (is_production_name(name) or name in {each.namespace for each in real}):
            raise _is_production(name)
    known = {Address.of(each.base_url) for each in environments if not each.production}
    free = {_allowed(text) for text in allowed} | _confirmed
    for url in urls:
        address = Address.of(url)
        _refuse_production(address, real, known)
        doubt = _doubt(address, real, known)
        if doubt is not None and not {address.host, f"{address.host}:{address.port}"} & free:
            _ask(address.host, doubt)


def _refuse_production(
    address: Address, real: Sequence[Environment], known: Collection[Address]
) -> None:
    if address in known:
        return
    host = address.host
    theirs = {_short(Address.of(each.base_url).host) for each in real}
    if _short(host) in theirs or _namespace(host) in {each.namespace for each in real}:
        raise _is_production(host)
    if is_production_name(host) and not _is_loopback(host):
        raise _is_production(host)


def _doubt(address: Address, real: Sequence[Environment], known: Collection[Address]) -> str | None:
    """Why a host has to be confirmed, None where it does not."""
    if _is_loopback(address.host):
        return None
    hosts = {Address.of(each.base_url).host for each in real}
    found = _resolve({address.host, *hosts})
    mine = found[address.host]
    if mine and all(_is_loopback(each) for each in mine):
        return None
    for host in sorted(hosts):
        if host == address.host or mine & found[host]:
            return f"{address.host} shares an address with production ({host})"
    return None if address in known else f"{address.host} is in no environment of the catalogue"


def _ask(host: str, doubt: str) -> None:
    confirm(
        host,
        f"{doubt}; type {host} to go on",
        UsageError(doubt, f"add --allow-target {host} if it is meant"),
    )
    _confirmed.add(host)


def confirm(word: str, question: str, unasked: UsageError) -> None:
    """Let somebody type a word; raises `unasked` where nobody can, UsageError for another word."""
    import click  # noqa: PLC0415 - only who asks pays for it

    if not sys.stdin.isatty():
        raise unasked
    typed = click.prompt(question, err=True)
    if typed != word:
        raise UsageError(f"{typed!r} is not {word}", "nothing was touched")


def _is_production(name: str) -> UsageError:
    return UsageError(f"{name} is production", "add --production if that is meant")


def _allowed(text: str) -> str:
    """A word of --allow-target in normal form. Raises UsageError."""
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        host, port = normal_host(parts.hostname or ""), parts.port
    except ValueError:
        host, port = "", None
    if not host:
        raise UsageError(f"--allow-target {text!r} is no host", "write host or host:port")
    return host if port is None else f"{host}:{port}"


def _is_loopback(host: str) -> bool:
    found = _ip(host)
    if found is None:
        return host == "localhost" or host.endswith(".localhost")
    return found.is_loopback or found.is_unspecified


def _short(host: str) -> str:
    """`memorai.codai-staging` of each of a cluster's names for that Service."""
    return _IN_CLUSTER.sub("", host)


def _namespace(host: str) -> str | None:
    """The namespace that a name within a cluster speaks of."""
    labels = _short(host).split(".")
    inside = _IN_CLUSTER.search(host) is not None or len(labels) == 2  # noqa: PLR2004 - name.space
    return labels[-1] if inside else None


def _resolve(hosts: Collection[str]) -> dict[str, frozenset[str]]:
    """Host -> its addresses, as far as they are known in time."""
    found = {host: frozenset({host} if _ip(host) else ()) for host in hosts}

    def look(host: str) -> None:
        try:
            answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return
        found[host] = frozenset(normal_host(str(each[4][0])) for each in answers)

    names = [host for host in hosts if not found[host]]
    threads = [threading.Thread(target=look, args=(host,), daemon=True) for host in names]
    for thread in threads:
        thread.start()
    until = time.monotonic() + RESOLVE_S
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return dict(found)
