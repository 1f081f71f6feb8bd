"""Secrets reach no file: neither what a name speaks of nor any value that is known to be one."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from harness import redact as module
from harness.redact import REDACTED, learn, learn_environment, redact, register


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test registers is no secret of another."""
    monkeypatch.setattr(module, "_KNOWN", module._Known())


SECRET = 'pä ss/w+rd"&<1>'
HEADERS = [
    "Authorization", "Cookie", "X-Api-Key", "x-functions-key", "Ocp-Apim-Subscription-Key",
    "X-JWT", "X-Goog-Iap-Jwt-Assertion", "X-Access-Key", "X-Signature", "X-Vault", "x-session",
    "X-Auth-Token", "Proxy-Authorization", "x-auth",
]  # fmt: skip
PARAMETERS = [
    "sig", "key", "code", "jwt", "pwd", "pw", "X-Amz-Signature", "token", "access_token", "api_key",
    "password", "client_secret",
]  # fmt: skip
FIELDS = ["password", "passwd", "token", "client_secret", "jwt", "pwd", "pin", "private_key"]


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_carries_a_credential_loses_its_value(name: str) -> None:
    assert redact([(name, "s3cr3t-value")]) == [[name, REDACTED]]


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("before", ["/path?", "/path?a=1&", "", "a=1&"])
def test_a_secret_parameter_of_a_query_or_form_loses_its_value(name: str, before: str) -> None:
    assert redact(f"{before}{name}=s3cr3t&b=2") == f"{before}{name}={REDACTED}&b=2"


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize(
    "text",
    ['{{"{0}": "s3cr3t", "b": "2"}}', "{{'{0}': 's3cr3t', 'b': '2'}}", '{{"{0}": 9876543210}}',
     "<a><{0}>s3cr3t</{0}></a>", '<{0} kind="x">s3cr3t</{0}>'],
)  # fmt: skip
def test_a_secret_field_inside_a_text_loses_its_value(name: str, text: str) -> None:
    kept = redact(text.format(name))
    assert "s3cr3t" not in kept
    assert "9876543210" not in kept
    assert REDACTED in kept


@pytest.mark.parametrize("name", [each for each in HEADERS if "-" in each or each == "Cookie"])
@pytest.mark.parametrize("between", ["\n", "\r\n", "\\n", " "])
def test_a_header_that_a_text_repeats_loses_its_value(name: str, between: str) -> None:
    """A server that shows the request in its answer, a client in its exception."""
    kept = redact(f"POST /a{between}Accept: text{between}{name}: s3cr3t +/value{between}")
    assert kept.startswith(f"POST /a{between}Accept: text{between}{name}: {REDACTED}")
    assert "s3cr3t" not in kept
    assert "value" not in kept


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("more", ["", '; filename="a.txt"\r\nContent-Type: text/plain'])
def test_a_secret_field_of_a_multipart_form_loses_its_value(name: str, more: str) -> None:
    part = '--b\r\nContent-Disposition: form-data; name="{0}"{1}\r\n\r\n{2}\r\n'
    form = part.format(name, more, "s3cr3t-value") + part.format("note", "", "hello") + "--b--\r\n"
    assert redact(form) == form.replace("s3cr3t-value", REDACTED)


@pytest.mark.parametrize(
    "text", ["max=100&order=up", '{"count": 12345, "name": "code"}', "<id>77</id>", "a key is: x"]
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


ENCODINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "in a URL": lambda text: quote(text, safe=""),
    "in a URL, lower case": lambda text: quote(text, safe="").replace("%C3%A4", "%c3%a4"),
    "in a path": quote,
    "in a form": quote_plus,
    "in JSON": lambda text: json.dumps(text)[1:-1],
    "in JSON with its letters": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "in HTML": html.escape,
    "in base64": lambda text: base64.b64encode(text.encode()).decode(),
    "in base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "in base64 behind a user": lambda text: base64.b64encode(b"u:" + text.encode()).decode(),
    "in base64 behind a longer one": lambda t: base64.b64encode(b"usr:" + t.encode()).decode(),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("lead", range(6))
def test_a_known_value_is_removed_in_whatever_encoding_and_place(encoding: str, lead: int) -> None:
    register([SECRET])
    core = ENCODINGS[encoding](SECRET)
    kept = redact({"echo": [f"{'x' * lead}{core}{'y' * 9}"]})["echo"][0]
    assert core[4:-4] not in kept
    assert REDACTED in kept
    assert kept.startswith("x" * lead)
    assert kept.endswith("y" * 9)


def test_many_known_values_with_one_beginning_are_told_apart() -> None:
    values = [f"password-{number:04d}" for number in range(2000)]
    register(values)
    text = " ".join(values) + " password-x password-00001 password"
    kept = redact(text)
    assert kept == " ".join([REDACTED] * 2000) + f" password-x {REDACTED}1 password"


@pytest.mark.parametrize(
    "unit",
    ["a", '"', '"a', "'a':", '"a":"', "?a", "&a=", ";", "Bearer ", "http://", "<a ", "<a>", "\\",
     '"token":"', "a:", "%41", "pass", "password=", "x@", "://",
     "X-Key: ", "x-", "\nX-Auth-Token:", 'form-data; name="pin"\n',
     'name="pin"\r\n\r\n', 'form-data pass name="'],
)  # fmt: skip
def test_no_text_costs_more_than_its_length(unit: str) -> None:
    """With one pattern that goes back, a third of a megabyte takes half an hour."""
    register(["passphrase-1", "aaaaaaaab"])
    text = unit * (300_000 // len(unit))
    assert len(redact(text)) > 0


def test_credentials_are_known_by_their_parts_as_well() -> None:
    basic = base64.b64encode(b"admin:correct-horse").decode()
    learn({"headers": [["Authorization", f"Basic {basic}"], ["Cookie", "a=1; sid=cookie-value-9"]],
           "url": "http://bob:battery-staple@host/"})  # fmt: skip
    assert redact("correct-horse cookie-value-9 battery-staple") == " ".join([REDACTED] * 3)


def test_a_placeholder_and_a_public_name_are_no_secrets() -> None:
    learn({"token": "{token_of_user}", "secret": "us-east-1"}, public=["regions us-east-1"])
    assert redact("{token_of_user} us-east-1") == "{token_of_user} us-east-1"


def test_variables_that_speak_of_secrets_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "token-of-mine")
    monkeypatch.setenv("PLAIN", "value-read-by-a-scenario")
    monkeypatch.setenv("PWD", "/work/of/mine")
    monkeypatch.setenv("SSH_AUTH_SOCK", str(Path.cwd()))
    learn_environment(["PLAIN", "MISSING"])
    assert redact(f"/work/of/mine {Path.cwd()}") == f"/work/of/mine {Path.cwd()}"
    assert redact("token-of-mine value-read-by-a-scenario") == f"{REDACTED} {REDACTED}"
