"""The servers as containers: each one its own process, configuration and account of what it did."""

from __future__ import annotations

import csv
import io
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

READY_LIMIT_S = 15.0
LOG_LIMIT_S = 3.0

NGINX_LOG = "/var/log/nginx/requests.log"
NGINX = """
user root;
worker_processes 1;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
  log_format counted '$status $server_protocol $connection $request_method $request_uri';
  access_log {log} counted;
  default_type application/json;
  keepalive_timeout {keepalive_timeout};
  keepalive_requests {keepalive_requests};
  server {{
    listen 8080;
    listen 8081 http2;
    {tls}
    root /srv;
    location = /ready {{ access_log off; return 200; }}
    location = /item {{ return 200 '{{"id": "$arg_id", "by": "$hostname"}}'; }}
    location = /moved {{ return 301 /item; }}
    location = /missing {{ return 404; }}
    location = /broken {{ return 503; }}
    location = /large {{ try_files /large =404; }}
  }}
}}
"""
TLS = """
    listen 8443 ssl http2;
    listen 8444 ssl;
    ssl_certificate /srv/server.pem;
    ssl_certificate_key /srv/server.key;
    ssl_protocols {protocols};
"""
LARGE_BYTES = 1 << 20

HAPROXY = """
defaults
  mode http
  timeout connect 300ms
  timeout client 5s
  timeout server 5s
  option {connections}
frontend public
  bind :8080
  default_backend servers
backend servers
  balance roundrobin
  http-reuse safe
  retries 0
{servers}
frontend statistics
  bind :8404
  stats enable
  stats uri /stats
"""


@dataclass(frozen=True)
class Server:
    """A running container and what a test does to it."""

    container: DockerContainer

    def url(self, port: int = 8080, scheme: str = "http") -> str:
        """Where this host reaches the container's port."""
        binding = self._network()["Ports"][f"{port}/tcp"][0]
        host = binding["HostIp"]
        if host == "0.0.0.0":
            host = self.container.get_container_host_ip().replace("localhost", "127.0.0.1")
        return f"{scheme}://{host}:{binding['HostPort']}"

    @property
    def address(self) -> str:
        """Where other containers reach it."""
        return str(next(iter(self._network()["Networks"].values()))["IPAddress"])

    def _network(self) -> dict[str, Any]:
        wrapped = self.container.get_wrapped_container()
        wrapped.reload()
        settings: dict[str, Any] = wrapped.attrs["NetworkSettings"]
        return settings

    def pause(self) -> None:
        """Freezes every process; the kernel still accepts connections for them."""
        self.container.get_wrapped_container().pause()

    def unpause(self) -> None:
        """Lets the processes go on."""
        self.container.get_wrapped_container().unpause()

    def kill(self) -> None:
        """SIGKILL: no farewell to any client."""
        self.container.get_wrapped_container().kill()

    def read(self, path: str) -> str:
        """A file's text, from a dead container too."""
        stream, _ = self.container.get_wrapped_container().get_archive(path)
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
            member = archive.extractfile(archive.getmembers()[0])
            assert member is not None
            return member.read().decode()


@dataclass(frozen=True)
class Logged:
    """One line of nginx's access log."""

    status: int
    protocol: str
    connection: int
    method: str
    uri: str


def nginx_log(server: Server, expected: int | None = None) -> list[Logged]:
    """Nginx's account of the requests it answered.

    A line is written just after its response was sent: `expected` lines are waited for, shortly.
    """
    until = time.monotonic() + LOG_LIMIT_S
    while True:
        lines = [line.split(" ", 4) for line in server.read(NGINX_LOG).splitlines()]
        if expected is None or len(lines) >= expected or time.monotonic() > until:
            return [Logged(int(s), p, int(c), m, u) for s, p, c, m, u in lines]
        time.sleep(0.1)


@contextmanager
def nginx(
    image: str,
    *,
    keepalive_requests: int = 1_000_000,
    keepalive_timeout: str = "60s",
    certificate: Mapping[str, bytes] | None = None,
    protocols: str = "TLSv1.2 TLSv1.3",
    network: Network | None = None,
) -> Iterator[Server]:
    """Nginx: 8080 HTTP/1.1, 8081 HTTP/2 without TLS, 8443 TLS with HTTP/2, 8444 TLS without it.

    `certificate` maps `server.pem` and `server.key` to their contents; the TLS ports need it.
    """
    configuration = NGINX.format(
        log=NGINX_LOG,
        keepalive_requests=keepalive_requests,
        keepalive_timeout=keepalive_timeout,
        tls=TLS.format(protocols=protocols) if certificate else "",
    )
    files = {"/etc/nginx/nginx.conf": configuration.encode(), "/srv/large": bytes(LARGE_BYTES)}
    files |= {f"/srv/{name}": content for name, content in (certificate or {}).items()}
    ports = (8080, 8081, 8443, 8444) if certificate else (8080, 8081)
    with run(image, ["nginx", "-g", "daemon off;"], files, ports, network) as server:
        wait_ready(f"{server.url()}/ready")
        yield server


@contextmanager
def haproxy(
    image: str,
    network: Network,
    backends: Mapping[str, Server],
    *,
    check: bool = True,
    keep_alive: bool = True,
) -> Iterator[Server]:
    """HAProxy on 8080, round-robin over `backends`, which it checks every 200 ms; no retries.

    In a network of their own: elsewhere the address of a killed backend may pass to another test's.
    """
    checked = " check inter 200ms fall 2 rise 1" if check else ""
    servers = [f"  server {n} {s.address}:8080{checked}" for n, s in backends.items()]
    connections = "http-keep-alive" if keep_alive else "httpclose"
    configuration = HAPROXY.format(servers="\n".join(servers), connections=connections).encode()
    command = ["haproxy", "-db", "-f", "/etc/haproxy/haproxy.cfg"]
    files = {"/etc/haproxy/haproxy.cfg": configuration}
    with run(image, command, files, (8080, 8404), network) as server:
        wait_ready(f"{server.url(8404)}/stats;csv")
        yield server


def haproxy_statistics(server: Server) -> dict[str, dict[str, str]]:
    """HAProxy's counters: server (or FRONTEND, BACKEND) of the tested proxy -> column -> value."""
    text = httpx.get(f"{server.url(8404)}/stats;csv", timeout=5).text
    rows = csv.DictReader(io.StringIO(text.removeprefix("# ")))
    return {row["svname"]: row for row in rows if row["pxname"] in {"public", "servers"}}


@contextmanager
def web_application(image: str) -> Iterator[Server]:
    """The application of application.py under gunicorn (one process, 32 threads) on 8080."""
    source = Path(__file__).with_name("application.py").read_bytes()
    command = ["gunicorn", "--chdir", "/srv", "--bind", ":8080", "--worker-class", "gthread"]
    command += ["--threads", "32", "--keep-alive", "30", "--worker-tmp-dir", "/dev/shm"]
    command += ["application:application"]
    with run(image, command, {"/srv/application.py": source}, (8080,)) as server:
        wait_ready(f"{server.url()}/account")
        yield server


@contextmanager
def run(
    image: str,
    command: Sequence[str],
    files: Mapping[str, bytes],
    ports: Sequence[int],
    network: Network | None = None,
) -> Iterator[Server]:
    """A container of `image` with `files` in place before `command` starts; removed at the end."""
    container: Any = DockerContainer(image).with_command(list(command)).with_exposed_ports(*ports)
    for path, content in files.items():
        container = container.with_copy_into_container(content, path)
    if network is not None:
        container = container.with_network(network)
    with container:
        yield Server(container)


def wait_ready(url: str) -> None:
    """Waits until `url` answers 200. Raises TimeoutError."""
    until = time.monotonic() + READY_LIMIT_S
    while time.monotonic() < until:
        try:
            if httpx.get(url, timeout=1).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise TimeoutError(f"{url} has not answered within {READY_LIMIT_S} s")
