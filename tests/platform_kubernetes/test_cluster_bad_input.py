"""What is wrong with the way to a cluster is one line, exit code 2, before anything is touched."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from harness.cli import run
from tests.platform_kubernetes.fake import kubeconfig

PLAN = ("experiment", "plan", "kill-replica", "--platform", "kubernetes")


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error."""
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_without_a_kubeconfig(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert run([*PLAN, "--namespace", "codai-staging"]) == 2
    assert "set KUBECONFIG or --kubeconfig" in said(capsys)


def test_an_unknown_context(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = kubeconfig(tmp_path / "k", "http://127.0.0.1:1")
    words = ["--namespace", "codai-staging", "--kubeconfig", str(file), "--context", "mars"]
    assert run([*PLAN, *words]) == 2
    assert "context 'mars' cannot be used" in said(capsys)


def test_a_plug_in_for_credentials_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = kubeconfig(tmp_path / "k", "http://127.0.0.1:1")
    document = yaml.load(file.read_text(), yaml.CSafeLoader)
    plug_in = {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-plug-in"}
    document["users"][0]["user"] = {"exec": {**plug_in, "interactiveMode": "Never"}}
    file.write_text(yaml.safe_dump(document))
    assert run([*PLAN, "--namespace", "codai-staging", "--kubeconfig", str(file)]) == 2
    assert "no-such-plug-in" in said(capsys)


def test_an_api_server_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = kubeconfig(tmp_path / "k", "http://127.0.0.1:1")
    assert run([*PLAN, "--namespace", "codai-staging", "--kubeconfig", str(file)]) == 2
    assert "the API server does not answer" in said(capsys)


@pytest.fixture
def refusing() -> Iterator[str]:
    """An API server that answers everything with 401."""
    answer = b'{"message":"Unauthorized"}'
    head = b"HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    line, _ = server.accept()
                except OSError:
                    return
                with line:
                    line.recv(65536)
                    line.sendall(head % len(answer) + answer)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_an_expired_token(
    refusing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the token is not in the message."""
    file = kubeconfig(tmp_path / "k", refusing, "very-secret-token")
    assert run([*PLAN, "--namespace", "codai-staging", "--kubeconfig", str(file)]) == 2
    line = said(capsys)
    assert "log in again" in line
    assert "very-secret-token" not in line


@pytest.mark.parametrize(
    ("namespace", "text"),
    [("kube-system", "belongs to the cluster itself"), ("codai-production", "add --production")],
)
def test_namespaces_that_need_a_word_or_are_never_touched(
    namespace: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*PLAN, "--namespace", namespace]) == 2
    assert text in said(capsys)


def test_a_cluster_without_a_namespace_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*PLAN]) == 2
    assert "add --namespace" in said(capsys)
