"""curl commands, as browsers copy them and as pages document an API."""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from harness.errors import ScenarioError
from harness.traffic.files import MOST_BODY_BYTES, read_text
from harness.traffic.imports.seen import Exchange, is_url

_IGNORED = {
    "-s", "-S", "-k", "-L", "-v", "-f", "-i", "-g", "-N", "-#", "--silent", "--show-error",
    "--insecure", "--location", "--verbose", "--fail", "--include", "--globoff", "--compressed",
    "--http1.1", "--http2", "--no-buffer", "--path-as-is",
}  # fmt: skip
_IGNORED_WITH_VALUE = {
    "-o", "-A", "-e", "-m", "-w", "--output", "--user-agent", "--referer", "--max-time",
    "--connect-timeout", "--retry", "--write-out", "--cacert", "--resolve",
}  # fmt: skip
_DATA = {"-d", "--data", "--data-raw", "--data-binary", "--data-ascii", "--data-urlencode"}
_SHORT_WITH_VALUE = "XHduboAemwF"
_DOLLAR = re.compile(r"\$'((?:[^'\\]|\\.)*)'", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", "'": "'", '"': '"', "!": "!"}


@dataclass(slots=True)
class _Command:
    """A curl command while its words are read."""

    method: str | None = None
    url: str | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    in_query: bool = False


def curl_exchanges(path: Path) -> Iterator[Exchange]:
    """Each command of a file. Raises ScenarioError with the command's number and the word."""
    text = read_text(path, MOST_BODY_BYTES)
    plain = _DOLLAR.sub(_unescaped, text.replace("\\\r\n", " ").replace("\\\n", " "))
    for number, command in enumerate(_commands(path, plain), 1):
        yield _exchange(f"{path}: command {number}", command)


def _unescaped(match: re.Match[str]) -> str:
    """What bash makes of $'…', quoted for shlex."""
    inner = re.sub(
        r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))",
        lambda m: chr(int(m[1] or m[2], 16)) if m[1] or m[2] else _ESCAPES.get(m[3], m[0]),
        match[1],
        flags=re.DOTALL,
    )
    return shlex.quote(inner)


def _commands(path: Path, text: str) -> Iterator[list[str]]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ScenarioError(f"{path}: {error}", "close the quotes") from None
    if not words or words[0] != "curl":
        what = f"{words[0][:40]!r} is no curl command" if words else "no curl command in it"
        raise ScenarioError(f"{path}: {what}", "paste one that begins with curl")
    current: list[str] = []
    for word in words[1:]:
        if word == "curl":
            yield current
            current = []
        elif not set(word) <= set(";&|") or not word:
            current.append(word)
    yield current


def _exchange(where: str, words: list[str]) -> Exchange:
    command = _Command()
    rest = iter(_spread(words))
    for word in rest:
        _take(where, command, word, rest)
    if command.url is None:
        raise ScenarioError(f"{where}: no URL", "write it behind curl")
    url = command.url if "://" in command.url else f"http://{command.url}"
    if not url.lower().startswith(("http://", "https://")) or not is_url(url):
        raise ScenarioError(f"{where}: {url[:60]!r} is no URL of HTTP", "write http://host/path")
    body = "&".join(command.data) if command.data else None
    if body is not None and command.in_query:
        url, body = f"{url}{'&' if '?' in url else '?'}{body}", None
    if body is not None and not any(name.lower() == "content-type" for name, _ in command.headers):
        command.headers.append(("content-type", "application/x-www-form-urlencoded"))
    method = command.method or ("GET" if body is None else "POST")
    return Exchange(method.upper(), url, command.headers, body)


def _spread(words: list[str]) -> Iterator[str]:
    """-XPOST as two words, -sSL as three; --name=value as two."""
    for word in words:
        if word.startswith("--") and "=" in word:
            yield from word.split("=", 1)
        elif re.match(r"-[A-Za-z#].", word):
            letters = word[1:]
            while letters:
                yield f"-{letters[0]}"
                if letters[0] in _SHORT_WITH_VALUE:
                    if letters[1:]:
                        yield letters[1:]
                    break
                letters = letters[1:]
        else:
            yield word


def _take(where: str, command: _Command, word: str, rest: Iterator[str]) -> None:
    """One word, and its value where it has one."""
    if word in _IGNORED:
        return
    if word in {"-G", "--get"}:
        command.in_query = True
    elif word in {"-I", "--head"}:
        command.method = "HEAD"
    elif not word.startswith("-"):
        command.url = word if command.url is None else command.url
    elif (value := next(rest, None)) is None:
        raise ScenarioError(f"{where}: nothing behind {word}", "complete or remove it")
    elif word not in _IGNORED_WITH_VALUE:
        _take_value(where, command, word, value)


def _take_value(where: str, command: _Command, word: str, value: str) -> None:
    if word in {"-X", "--request"}:
        command.method = value
    elif word in {"-H", "--header"}:
        name, _, text = value.partition(":")
        command.headers.append((name.strip(), text.strip()))
    elif word in {"-u", "--user"}:
        token = base64.b64encode(value.encode()).decode()
        command.headers.append(("authorization", f"Basic {token}"))
    elif word in {"-b", "--cookie"}:
        command.headers.append(("cookie", value))
    elif word == "--url":
        command.url = value
    elif word == "--json":
        command.data.append(value)
        command.headers.append(("content-type", "application/json"))
    elif word in _DATA:
        if value.startswith("@") and word != "--data-raw":
            raise ScenarioError(f"{where}: {word} {value}", "put the file's content in its place")
        if word == "--data-urlencode":
            name, equals, text = value.partition("=")
            value = f"{name}={quote(text, safe='')}" if equals else quote(value, safe="")
        command.data.append(value)
    else:
        raise ScenarioError(f"{where}: the option {word} is not understood", "remove it")
