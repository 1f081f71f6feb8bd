"""Where load and faults may go is decided in one place, whatever the way in and the spelling."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import guard
from harness.catalog import load_catalog, project_root
from harness.catalog.model import Environment, Service
from harness.catalog.production import PATTERNS_VARIABLE, is_production_name
from harness.cli import run
from harness.errors import UsageError
from harness.guard import check_place, normal_host
from tests.record import synthetic

PRODUCTION = "memorai.codai-production.svc.cluster.local"
SPELLINGS = [
    "http://MEMORAI.codai-production.svc.cluster.local:3001",
    "HTTP://memorai.codai-production.svc.cluster.local:3001",
    "http://memorai.codai-production.svc.cluster.local.:3001",
    "https://memorai.codai-production.svc.cluster.local",
    "http://memorai.codai-production.svc.cluster.local:03001",
    "http://memorai.codai-production.svc.cluster.local:9999/path",
    "http://memorai.codai-production.svc.cluster.local.",
    "http://memorai.codai-production.svc:3001",
    "http://memorai.codai-production:3001",
    "http://memorai.codai-production.svc.other.domain:3001",
    "http://memorai-0.memorai.codai-production.svc:3001",
    "http://10-0-0-1.codai-production.pod.cluster.local:3001",
    "http://anything.codai-production:80",
    "http://\N{FULLWIDTH LATIN SMALL LETTER M}emorai.codai-production:3001",
    "http://memorai\N{IDEOGRAPHIC FULL STOP}codai-production:3001",
    "http://wallet.codai-production.svc.cluster.local:3004",
    "http://api.prod.example",
    "http://eu-prod2.example",
    "http://prd.example",
    "http://live.example",
]


def _service(name: str = "memorai", **urls: str) -> Service:
    environments = tuple(
        Environment(each, url, f"codai-{each}", each == "production") for each, url in urls.items()
    )
    return replace(synthetic.service(), name=name, environments=environments)


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Host -> address; nothing else resolves."""
    known: dict[str, str] = {}

    def look(host: str, *_: Any, **__: Any) -> list[Any]:
        if host not in known:
            raise socket.gaierror
        return [(None, None, None, "", (known[host], 0))]

    monkeypatch.setattr(socket, "getaddrinfo", look)
    return known


@pytest.fixture(scope="module")
def catalogued() -> list[Service]:
    return [*load_catalog(project_root() / "services").services()]


@pytest.mark.parametrize("url", SPELLINGS)
def test_production_is_refused_however_it_is_spelt(url: str, catalogued: list[Service]) -> None:
    with pytest.raises(UsageError, match="add --production if that is meant"):
        check_place(catalogued, urls=[url], allowed=["memorai.codai-production"])


@pytest.mark.parametrize("way", ["perf wallet", "gate memorai --interleave", "capacity hub",
                                 "perf hub --platform kubernetes --namespace codai-staging",
                                 "load hub --namespace codai-staging",
                                 "scale-test hub --rate 5 --namespace codai-staging"])  # fmt: skip
def test_production_is_refused_whichever_way_it_is_reached(
    way: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", os.devnull)
    words, url = way.split(), SPELLINGS[0]
    loopback = ["--target", "http://127.0.0.1:1"]
    where = [url, *loopback] if "--interleave" in words else ["--target", url]
    assert run([*words, *where]) == 2
    assert "add --production if that is meant" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "normal"),
    [
        ("127.1", "127.0.0.1"), ("2130706433", "127.0.0.1"), ("0x7f.0.0.1", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"), ("::ffff:127.0.0.1", "127.0.0.1"), ("::1", "::1"),
        ("0:0:0:0:0:0:0:1", "::1"), ("Example.COM.", "example.com"),
        ("b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example", "xn--bcher-kva.example"),
    ],
)  # fmt: skip
def test_a_host_has_one_normal_form(host: str, normal: str) -> None:
    assert normal_host(host) == normal


@pytest.mark.parametrize("form", ["192.0.2.7", "3221225991", "0xC0.0.2.7", "[::ffff:192.0.2.7]"])
def test_production_named_by_its_address_is_refused_in_every_form(form: str) -> None:
    services = [_service(production="http://192.0.2.7:80")]
    with pytest.raises(UsageError, match="is production"):
        check_place(services, urls=[f"http://{form}:8080"])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "localhost", "a.localhost", "[::1]"])
def test_loopback_needs_no_word(host: str) -> None:
    check_place([_service(production="http://shop.example")], urls=[f"http://{host}:1"])


def test_an_environment_of_the_catalogue_needs_no_word(addresses: dict[str, str]) -> None:
    addresses |= {"test.example": "192.0.2.1", "shop.example": "192.0.2.2"}
    services = [_service(staging="http://test.example:80", production="http://shop.example")]
    check_place(services, urls=["http://TEST.example./x"])


def test_what_nobody_knows_is_refused_until_it_is_allowed(addresses: dict[str, str]) -> None:
    services = [_service(production="http://shop.example")]
    with pytest.raises(UsageError, match=r"--allow-target odd\.example"):
        check_place(services, urls=["http://odd.example:81"])
    for word in ("odd.example", "ODD.example.", "odd.example:81", "http://odd.example:81/"):
        check_place(services, urls=["http://odd.example:81"], allowed=[word])
    with pytest.raises(UsageError, match="--allow-target"):
        check_place(services, urls=["http://odd.example:81"], allowed=["odd.example:82"])


def test_an_address_shared_with_production_has_to_be_allowed(addresses: dict[str, str]) -> None:
    addresses |= {"test.example": "192.0.2.1", "shop.example": "192.0.2.1"}
    services = [
        _service(staging="http://test.example"),
        _service("other", production="https://shop.example"),
    ]
    with pytest.raises(UsageError, match=r"shares an address with production \(shop\.example\)"):
        check_place(services, urls=["http://test.example"])
    with pytest.raises(UsageError, match="shares an address"):
        check_place(services, urls=["http://192.0.2.1"])
    check_place(services, urls=["http://test.example"], allowed=["test.example"])


def test_allowing_a_host_opens_no_production() -> None:
    services = [_service(production="http://shop.example")]
    with pytest.raises(UsageError, match="--production"):
        check_place(services, urls=["http://shop.example:81"], allowed=["shop.example"])
    check_place(services, urls=["http://shop.example:81"], production=True)


@pytest.mark.parametrize(
    "words",
    ["--resolve 127.0.0.1:9:192.0.2.9", "--resolve 127.0.0.1:9:[2001:db8::9]",
     "--proxy http://192.0.2.9:3128", "--proxy http://me:geheim99@192.0.2.9"],
)  # fmt: skip
@pytest.mark.parametrize("command", ["perf", "capacity", "gate", "baseline make"])
def test_what_connections_lead_to_counts_as_the_url_does(
    words: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A loopback URL is no harmless one where an option says that another host is meant."""
    call = [*command.split(), "memorai", "--target", "http://127.0.0.1:9", *words.split()]
    assert run(call) == 2
    said = capsys.readouterr().err
    host = "2001:db8::9" if "[" in words else "192.0.2.9"
    assert f"add --allow-target {host} if it is meant" in said
    assert "geheim99" not in said


@pytest.mark.parametrize(
    "words", ["--resolve 127.0.0.1:9:127.0.0.1", "--proxy http://localhost:9", "--resolve a:b",
              "--proxy http://[", "--proxy http://h:99999"],
)  # fmt: skip
def test_a_detour_within_this_machine_needs_no_word(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is no place is refused by its own words, or nothing answers there."""
    run(["perf", "http://127.0.0.1:9/", *words.split(), "--quiet"])
    assert "--allow-target" not in capsys.readouterr().err


@pytest.mark.parametrize(("typed", "goes_on"), [("odd.example", True), ("yes", False)])
def test_at_a_terminal_the_host_is_typed_once(
    typed: str, *, goes_on: bool, addresses: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.prompt", lambda *_, **__: typed)
    monkeypatch.setattr(guard, "_confirmed", set())
    if not goes_on:
        with pytest.raises(UsageError, match="nothing was touched"):
            check_place([], urls=["http://odd.example"])
        return
    check_place([], urls=["http://odd.example"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    check_place([], urls=["http://odd.example"])


@pytest.mark.parametrize(
    "name",
    ["prod", "eu-prod2", "prod1", "my_prod", "prd", "live", "shop.live", "codaiproduction",
     "production", "arn:aws:eks/prod", "admin@prod", "PROD-EU"],
)  # fmt: skip
def test_names_of_production(name: str) -> None:
    assert is_production_name(name)
    with pytest.raises(UsageError, match="--production"):
        check_place([], names=[name])


@pytest.mark.parametrize(
    "name", ["products", "olive", "delivery", "staging", "non-prod", "nonproduction", "alive"]
)
def test_names_of_no_production(name: str) -> None:
    assert not is_production_name(name)


def test_a_team_can_name_its_own_patterns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PATTERNS_VARIABLE, "blue, customer-*")
    assert is_production_name("api.blue.example")
    assert is_production_name("customer-7")
    assert not is_production_name("bluebird")


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    """One whose current context speaks of production, and another that does not."""
    path = tmp_path / "config"
    path.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: main\n"
        "clusters: [{name: eu-prod2, cluster: {server: 'http://127.0.0.1:1'}},"
        " {name: test, cluster: {server: 'http://127.0.0.1:1'}}]\n"
        "contexts: [{name: main, context: {cluster: eu-prod2, user: u}},"
        " {name: prod-eu, context: {cluster: test, user: u}},"
        " {name: quiet, context: {cluster: test, user: u}}]\n"
        "users: [{name: u, user: {}}]\n"
    )
    return path


@pytest.mark.parametrize("way", ["perf memorai --platform kubernetes", "load memorai",
                                 "experiment plan kill-replica --platform kubernetes",
                                 "scale-test memorai --rate 5"])  # fmt: skip
@pytest.mark.parametrize("context", [[], ["--context", "prod-eu"]])
def test_the_context_that_a_cluster_is_reached_by_is_looked_at(
    way: str, context: list[str], kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*way.split(), "--namespace", "codai-staging", "--kubeconfig", str(kubeconfig)]
    assert run([*words, *context]) == 2
    assert "add --production" in capsys.readouterr().err
    assert run([*words, "--context", "quiet"]) == 2
    assert "does not answer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "option"),
    [
        ("--target http://127.0.0.1:1 --region us-east-1", "--region"),
        ("--target http://127.0.0.1:1 --replicas 2", "--replicas"),
        ("--target http://127.0.0.1:1 --through edge", "--through"),
        ("--target http://127.0.0.1:1 --namespace x", "--namespace"),
        ("--target http://127.0.0.1:1 --context x", "--context"),
        ("--environment staging --kubeconfig x", "--kubeconfig"),
        ("--namespace x", "--namespace"),
        ("--context x", "--context"),
        ("--platform kubernetes --namespace x --replicas 2", "--replicas"),
        ("--platform kubernetes --namespace x --environment staging", "exclude each other"),
        ("--platform kubernetes --namespace x --behaviour {}", ""),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(
    words: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["perf", "memorai", *words.split()]) == 2
    assert option in capsys.readouterr().err
