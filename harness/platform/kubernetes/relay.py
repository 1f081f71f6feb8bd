"""Passes connections on from where it runs: what an entry point across a cut is asked through.

Standard library only, as all of an agent.
"""

import select
import socket
import socketserver

PORT = 7070
"""Where it listens, in a pod of its own."""

CONNECT_S = 1.5
"""How long it tries to get across: longer than the canary waits for an answer."""

_CHUNK = 1 << 16


class Relay(socketserver.ThreadingTCPServer):
    """Listens on every address, and connects to `target` for each client."""

    daemon_threads = True
    allow_reuse_address = True
    block_on_close = False

    def __init__(self, target: tuple[str, int], port: int = PORT) -> None:
        self.target = target
        super().__init__(("", port), _Passing, bind_and_activate=False)
        self.socket.close()
        both = socket.has_dualstack_ipv6()
        kind = socket.AF_INET6 if both else socket.AF_INET
        self.socket = socket.create_server(("", port), family=kind, dualstack_ipv6=both)
        self.server_address = self.socket.getsockname()


class _Passing(socketserver.BaseRequestHandler):
    """One client: bytes either way, until either side has ended."""

    server: Relay

    def handle(self) -> None:
        try:
            with socket.create_connection(self.server.target, CONNECT_S) as far:
                far.settimeout(None)
                _pass(self.request, far)
        except OSError:
            return  # its client sees a connection that ends: that is what it is asked for


def _pass(near: socket.socket, far: socket.socket) -> None:
    for each in (near, far):
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while True:
        readable, _, _ = select.select([near, far], [], [])
        for source in readable:
            data = source.recv(_CHUNK)
            if not data:
                return
            (far if source is near else near).sendall(data)
