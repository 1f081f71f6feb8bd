"""curl commands, as browsers copy them and as pages document an API."""

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
_OF_WINDOWS = re.compile(r"\^\s*$|\^\"", re.MULTILINE)
_REDIRECTION = re.compile(r"(?:\d|&)?>{1,2}(?P<to>&?\S*)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", "'": "'", '"': '"', "!": "!"}


@dataclass(slots=True)
class _Command:
    """A curl command while its words are read."""

    method: str | None = None
    urls: list[str] = field(default_factory=list)
    headers: list[tuple[str, str]] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    in_query: bool = False


def curl_exchanges(path: Path) -> Iterator[Exchange]:
    """Each URL of each command. Raises ScenarioError with the command's number and the word."""
    text = read_text(path, MOST_BODY_BYTES)
    if _OF_WINDOWS.search(text):
        raise ScenarioError(f"{path}: a command of Windows' cmd", "copy it as cURL (bash)")
    plain = _DOLLAR.sub(_unescaped, text.replace("\\\r\n", " ").replace("\\\n", " "))
    for number, command in enumerate([*_commands(path, plain)], 1):
        yield from _exchanges(f"{path}: command {number}", command)


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
    """The words of each command; they are complete once the next was asked for."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ScenarioError(f"{path}: {error}", "close the quotes") from None
    if not words or words[0] != "curl":
        what = f"{words[0][:40]!r} is no curl command" if words else "no curl command in it"
        raise ScenarioError(f"{path}: {what}", "paste one that begins with curl")
    current: list[str] = []
    for word in _without_redirections(words):
        if word == "curl":
            current = []
            yield current
        elif word and set(word) <= set(";&|"):  # what follows is another program's
            current = []
        else:
            current.append(word)


def _without_redirections(words: list[str]) -> Iterator[str]:
    rest = iter(words)
    for word in rest:
        found = _REDIRECTION.fullmatch(word)
        if found is None:
            yield word
        elif not found["to"]:
            next(rest, None)


def _exchanges(where: str, words: list[str]) -> Iterator[Exchange]:
    command = _Command()
    rest = iter(_spread(words))
    for word in rest:
        _take(where, command, word, rest)
    if not command.urls:
        raise ScenarioError(f"{where}: no URL", "write it behind curl")
    body = "&".join(command.data) if command.data else None
    query = body if command.in_query else None
    body = None if command.in_query else body
    if body is not None and not any(name.lower() == "content-type" for name, _ in command.headers):
        command.headers.append(("content-type", "application/x-www-form-urlencoded"))
    method = (command.method or ("GET" if body is None else "POST")).upper()
    for each in command.urls:
        url = each if "://" in each else f"http://{each}"
        if not url.lower().startswith(("http://", "https://")) or not is_url(url):
            raise ScenarioError(
                f"{where}: {url[:60]!r} is no URL of HTTP", "write http://host/path"
            )
        if query is not None:
            url = f"{url}{'&' if '?' in url else '?'}{query}"
        yield Exchange(method, url, command.headers, body)


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
        command.urls.append(word)
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
        command.urls.append(value)
    elif word == "--json":
        command.data.append(value)
        command.headers.append(("content-type", "application/json"))
    elif word in _DATA:
        if value.startswith("@") and word != "--data-raw":
            raise ScenarioError(f"{where}: {word} {value}", "put the file's content in its place")
        if word == "--data-urlencode":
            name, equals, text = value.partition("=")
            head = f"{name}=" if name and equals else ""
            value = head + quote(text if equals else value, safe="")
        command.data.append(value)
    else:
        raise ScenarioError(f"{where}: the option {word} is not understood", "remove it")
