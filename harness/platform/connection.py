"""How a load gets to a target: the options of connections, in words and as the engine has them."""

from collections.abc import Mapping

from harness.errors import UsageError
from harness.platform.model import Target

OPTIONS: Mapping[str, str] = {
    "http2": "--http2",
    "verify": "--insecure",
    "ca_file": "--cacert",
    "cert_file": "--cert",
    "resolve": "--resolve",
    "unix_socket": "--unix-socket",
    "proxy": "--proxy",
    "max_age_s": "--connection-max-age",
    "max_requests": "--connection-max-requests",
}
"""The fields of a Target that options of the command line set."""

ANYWHERE = ("http2", "max_age_s", "max_requests")
"""What means something wherever the service runs; the others are for what stands behind a URL."""

_OF_TLS = ("verify", "ca_file", "cert_file")
USUAL = "HTTP/1.1"
"""What `describe` says where nothing was asked."""


def engine_connection(target: Target) -> dict[str, object]:
    """The fields of the engine's plan that say how a target is reached (docs/contracts.md)."""
    return {
        "targets": list(target.urls),
        "host": target.host,
        "http2": target.http2,
        "tls": {
            "ca_file": target.ca_file,
            "verify": target.verify,
            "server_name": target.server_name,
            "cert_file": target.cert_file,
            "key_file": target.key_file,
        },
        "bind": target.bind,
        "resolve": list(target.resolve),
        "unix_socket": target.unix_socket,
        "proxy": target.proxy,
        "connection_life": {"requests": target.max_requests, "age_s": target.max_age_s},
    }


def refuse_beside(asked: Mapping[str, object], url: str | None) -> None:
    """Raise UsageError for options that mean nothing for a URL, or without one."""
    for name in asked:
        option = OPTIONS.get(name)
        if option is None or name in ANYWHERE:
            continue
        if url is None:
            raise UsageError(f"{option} is for a URL, not for the lab or a cluster", "leave it out")
        if name in _OF_TLS and not url.lower().startswith("https://"):
            raise UsageError(f"{option} is for https, and {url} is not", "leave it out")


def describe(target: Target) -> str:
    """How connections are made, in one line; two loads that differ in it cannot be compared."""
    life = {1: "a new connection for each request"}.get(
        target.max_requests or 0, f"at most {target.max_requests} requests a connection"
    )
    parts = (
        ("HTTP/2", target.http2),
        ("TLS certificate not verified", not target.verify),
        ("client certificate", target.cert_file),
        (f"addresses {' '.join(target.resolve)}", target.resolve),
        (f"unix socket {target.unix_socket}", target.unix_socket),
        (f"proxy {target.proxy}", target.proxy),
        (life, target.max_requests),
        (f"connections for at most {target.max_age_s} s", target.max_age_s),
    )
    found = [text for text, given in parts if given]
    return ", ".join(found if target.http2 else [USUAL, *found])
