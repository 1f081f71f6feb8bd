"""A scenario to edit from what was seen: three lines an endpoint at most, values beside it."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.storage import writing
from harness.traffic.imports.seen import Endpoint, Seen
from harness.units import counted

_WORDS = ("get", "post", "put", "patch", "delete", "head", "options")
SERVER_ERROR = 500
_SUCCESS = range(200, 300)


def write_scenario(seen: Seen, path: Path, service: str) -> tuple[Path, ...]:
    """Write the scenario and its files of values; all of them or, where one exists, none.

    Raises UsageError for a file that is there already, and for a path that names none.
    """
    if not path.name:
        raise UsageError(f"{str(path)!r} names no file", "give one with --output")
    values = _values(seen, path)
    text = scenario_text(seen, path, service)
    files = {path: text, **values}
    for each in files:
        if each.exists():
            raise UsageError(f"{each} is there already", "remove it, or choose another --output")
    with writing(path.parent):
        for each, content in files.items():
            each.write_text(content, encoding="utf-8")
    return tuple(files)


def scenario_text(seen: Seen, path: Path, service: str) -> str:
    """The Python file."""
    files = _names(seen, path)
    endpoints = sorted(seen.endpoints.values(), key=lambda each: -each.count)
    requests = [_request(each) for each in endpoints]
    used = {_word(each.method) for each in endpoints}
    feeds = ", ".join(f"**csv_rows({name.name!r})" for name in dict.fromkeys(files.values()))
    imports = ", ".join(sorted(used | ({"csv_rows"} if feeds else set())))
    rate = f", {seen.rate:.3g}/s" if seen.rate else ""
    removed = f" Removed: {', '.join(seen.removed)}." if seen.removed else ""
    about = (
        f"{counted(len(endpoints), 'endpoint')} of {Path(seen.source).name}:"
        f" {counted(seen.count, 'request')}{rate}.{removed}"
    )
    head = [
        '"""' + about.replace("\\", "\\\\").replace('"', "'") + '"""',
        "",
        f"from harness.traffic import {imports}",
        "from harness.traffic.user import TrafficUser",
        "",
        "",
        "class User(TrafficUser):",
        f"    service = {service!r}",
        *([f"    feeds = {{{feeds}}}"] if feeds else []),
        "    mix = [",
    ]
    return "\n".join([*head, *requests, "    ]", ""])


def _word(method: str) -> str:
    return method.lower() if method.lower() in _WORDS else "request"


def _request(each: Endpoint) -> str:
    word = _word(each.method)
    first = [repr(each.method)] if word == "request" else []
    parts = [*first, repr(each.template), f"weight={each.count}"]
    if each.query:
        params: dict[str, list[str]] = {}
        for name, value in each.query:
            params.setdefault(_template(name), []).append(_template(value))
        single = {name: found[0] if len(found) == 1 else found for name, found in params.items()}
        parts.append(f"params={single!r}")
    if each.headers and (headers := _headers(each)):
        parts.append(f"headers={ {k: _template(v) for k, v in headers.items()}!r}")
    if each.body is not None:
        parts.append(_body(each))
    wanted = sorted(status for status in each.statuses if status < SERVER_ERROR)
    if wanted and any(status not in _SUCCESS for status in wanted):
        parts.append(f"expect={wanted}")
    return f"        {word}({', '.join(parts)}),"


def _headers(each: Endpoint) -> dict[str, str]:
    """Those that a JSON body does not bring with it."""
    headers = {k: v for k, v in each.headers.items() if (k, v) != ("accept", "*/*")}
    if each.body is not None and _json(each) is not None:
        headers.pop("content-type", None)
    return headers


def _json(each: Endpoint) -> Any:
    """The body as a JSON value; None where it is none."""
    if "json" not in each.headers.get("content-type", "json"):
        return None
    try:
        found = json.loads(each.body or "")
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, (dict, list)) else None


def _body(each: Endpoint) -> str:
    value = _json(each)
    if value is not None:
        return f"json_body={_templates(value)!r}"
    return f"body={_template(each.body or '')!r}"


def _templates(value: Any) -> Any:
    """A JSON value whose strings hold no slots."""
    if isinstance(value, str):
        return _template(value)
    if isinstance(value, list):
        return [_templates(item) for item in value]
    if isinstance(value, dict):
        return {_template(key): _templates(item) for key, item in value.items()}
    return value


def _template(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _names(seen: Seen, path: Path) -> dict[tuple[str, ...], Path]:
    """The file of values for each set of slots; a name that two sets share is told apart."""
    sets = list(dict.fromkeys(each.slots for each in seen.endpoints.values() if each.slots))
    taken: set[str] = set()
    found: dict[tuple[str, ...], Path] = {}
    for slots in sets:
        if taken & set(slots):
            renamed = tuple(f"{name}_{len(found) + 1}" for name in slots)
            for each in seen.endpoints.values():
                if each.slots == slots:
                    _rename(each, renamed)
            slots = renamed  # noqa: PLW2901 - the set under its new names
        taken |= set(slots)
        found[slots] = path.with_name(f"{path.stem}_{slots[-1]}.csv")
    return found


def _rename(each: Endpoint, names: tuple[str, ...]) -> None:
    for old, new in zip(each.slots, names, strict=True):
        each.template = each.template.replace(f"{{{old}}}", f"{{{new}}}")
    each.slots = names


def _values(seen: Seen, path: Path) -> dict[Path, str]:
    """The files of values."""
    found: dict[Path, str] = {}
    for slots, name in _names(seen, path).items():
        rows = dict.fromkeys(
            row for each in seen.endpoints.values() if each.slots == slots for row in each.rows
        )
        stream = io.StringIO()
        csv.writer(stream, lineterminator="\n").writerows([slots, *rows])
        found[name] = stream.getvalue()
    return found
