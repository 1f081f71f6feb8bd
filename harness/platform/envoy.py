"""Delays and aborts requests in the Envoy beside a service, by its own fault filter.

Envoy's HTTP fault filter looks at runtime keys, and its administration interface sets them
(https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/fault_filter): nothing
is restarted, and an Envoy that starts anew has forgotten them. The interface listens on the pod's
loopback, so it is asked from within the pod's network. Standard library only.
"""

import ctypes
import http.client
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlencode

ADMIN_PORTS = (15000, 9901, 19000)
"""Where Envoy's administration is looked for: Istio's port, Envoy's own example, Consul's."""

TIMEOUT_S = 3.0
_NEW_NETWORK = 0x40000000

Found = TypeVar("Found")


def delaying(share: float, delay_s: float) -> dict[str, str]:
    """The runtime keys that let a share of the requests wait, the switch first."""
    return {
        "fault.http.delay.fixed_delay_percent": _percent(share),
        "fault.http.delay.fixed_duration_ms": str(max(1, round(1000 * delay_s))),
    }


def aborting(share: float, status: int) -> dict[str, str]:
    """The runtime keys that let a share of the requests be answered at once, the switch first."""
    return {
        "fault.http.abort.abort_percent": _percent(share),
        "fault.http.abort.http_status": str(status),
    }


def modifying(values: Mapping[str, str]) -> str:
    """The administration's path that sets these runtime keys; an empty value takes one away."""
    return f"/runtime_modify?{urlencode(values, quote_via=quote)}"  # a plus sign is no space here


def _percent(share: float) -> str:
    """A whole percent as a number, which every Envoy takes; else its FractionalPercent."""
    millionths = max(1, round(1_000_000 * share))
    if millionths % 10_000 == 0:
        return str(millionths // 10_000)
    return json.dumps({"numerator": millionths, "denominator": "MILLION"}, separators=(",", ":"))


def within(pid: int, ask: Callable[[], Found]) -> Found:
    """Call it in the network of a process; raises what it raises, OSError for want of rights.

    A thread has namespaces of its own, so nothing else of this process moves.
    """

    def enter() -> Found:
        libc = ctypes.CDLL(None, use_errno=True)
        with Path(f"/proc/{pid}/ns/net").open() as namespace:
            if libc.setns(namespace.fileno(), _NEW_NETWORK):
                code = ctypes.get_errno()
                raise OSError(code, f"network of {pid}: {os.strerror(code)}")
        return ask()

    with ThreadPoolExecutor(max_workers=1) as apart:
        return apart.submit(enter).result()


class Admin:
    """The administration interface of the Envoy in a process' network."""

    def __init__(self, pid: int, ports: Sequence[int] = ADMIN_PORTS) -> None:
        self._pid = pid
        self._port = within(pid, lambda: _listening(ports))

    def set(self, values: Mapping[str, str]) -> None:
        """Set runtime keys; an empty value takes the key away. OSError when one was not taken."""
        self._ask("POST", modifying(values))
        wanted = {name: value for name, value in values.items() if value}
        if wanted and not wanted.items() <= self.values().items():
            raise OSError("the Envoy takes whole percents only: it is an old one")

    def values(self) -> dict[str, str]:
        """The runtime keys that are set, by whatever layer."""
        entries = json.loads(self._ask("GET", "/runtime"))["entries"]
        return {name: str(entry["final_value"]) for name, entry in entries.items()}

    def injected(self) -> int:
        """How many faults its filters have injected so far."""
        stats = json.loads(self._ask("GET", "/stats?format=json&filter=fault"))["stats"]
        ends = ("delays_injected", "aborts_injected")
        return sum(int(each["value"]) for each in stats if str(each.get("name")).endswith(ends))

    def check(self, values: Mapping[str, str]) -> None:
        """Raise OSError unless a fault filter is there that these keys would move."""
        block = "delay" if any(".delay." in name for name in values) else "abort"
        if not any(
            block in each for each in _fault_filters(json.loads(self._ask("GET", "/config_dump")))
        ):
            raise OSError(
                f"the Envoy has no fault filter with a block {block!r} "
                "(docs/kubernetes.md, HTTP faults)"
            )

    def _ask(self, method: str, path: str) -> bytes:
        return within(self._pid, lambda: ask(("127.0.0.1", self._port), method, path))


def _listening(ports: Sequence[int]) -> int:
    for port in ports:
        try:
            if b"version" in ask(("127.0.0.1", port), "GET", "/server_info"):
                return port
        except OSError:
            continue
    raise OSError(f"no Envoy administration on {', '.join(map(str, ports))}: name admin_port")


def ask(where: tuple[str, int], method: str, path: str, timeout_s: float = TIMEOUT_S) -> bytes:
    """The body of one answer of an administration interface; raises OSError."""
    connection = http.client.HTTPConnection(*where, timeout=timeout_s)
    try:
        connection.request(method, path, headers={"content-length": "0"})
        answer = connection.getresponse()
        body = answer.read()
    except http.client.HTTPException as problem:
        raise OSError(f"Envoy: {method} {path}: {problem!r}") from None
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        raise OSError(
            f"Envoy: {method} {path}: {answer.status}: {body[:200].decode(errors='replace')}"
        )
    return body


def _fault_filters(document: object) -> Iterator[Mapping[str, object]]:
    """Every configuration of an HTTP fault filter, wherever it stands."""
    if isinstance(document, dict):
        if str(document.get("@type", "")).endswith("HTTPFault"):
            yield document
        document = list(document.values())
    if isinstance(document, list):
        for each in document:
            yield from _fault_filters(each)
