"""Typed JSON and YAML: readers of dataclasses, and the check of a value against its type."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache, partial
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    NamedTuple,
    NotRequired,
    Required,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")

_made: dict[type, TypeAdapter[object]] = {}


def adapter(kind: type[T]) -> TypeAdapter[T]:
    """Pydantic's adapter of a dataclass: making one takes tens of milliseconds."""
    from pydantic import TypeAdapter  # noqa: PLC0415 - heavy

    if kind not in _made:
        _made[kind] = TypeAdapter(kind)
    return cast("TypeAdapter[T]", _made[kind])


def first_problem(error: ValidationError, whole: str = "") -> str:
    """What pydantic found first, `field: what`; `whole` is the name of all of it."""
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or whole
    return f"{field}: {first['msg']}"


class Problem(NamedTuple):
    """The first value that its type does not allow, and why.

    `kind`: "missing" and "unknown" are of a field, "value" of what is written there, "rule" of what
    holds between several. `shown` is the value, `said` a sentence about it.
    """

    path: tuple[object, ...]
    kind: Literal["missing", "unknown", "value", "rule"]
    shown: str = ""
    said: str = ""

    def under(self, name: object) -> Problem:
        """The same, seen from what holds the value by this name."""
        return self._replace(path=(name, *self.path))

    @property
    def where(self) -> str:
        """The path with dots: `units.0.pid`."""
        return ".".join(map(str, self.path))

    @property
    def remedy(self) -> str | None:
        """What to do about it; None where the sentence says so."""
        return _REMEDIES.get(self.kind)


_REMEDIES = {
    "missing": "add it",
    "unknown": "remove it or correct its name",
    "value": "correct the value",
}


_Check = Callable[[object], Problem | None]


class Rule(NamedTuple):
    """What `Annotated` adds to a type: a test of the value, and what it should be in words."""

    holds: Callable[[Any], bool]
    wanted: str


class Whole(NamedTuple):
    """What `Annotated` adds to a TypedDict: a sentence about fields at odds, or None."""

    problem: Callable[[Any], str | None]


def problem_of(value: object, kind: object) -> str | None:
    """None for a value that JSON has for this type, else what is wrong: `with units.0.pid 'x'`.

    `kind` is a TypedDict, a dataclass, or made of JSON's own types; further fields are let pass.
    """
    found = _check_of(kind, closed=False)(value)
    if found is None:
        return None
    if found.kind == "missing":
        return f"without {found.where}"
    return f"with {found.where} {found.shown:.40}".replace("  ", " ")


def check_closed(value: object, kind: object) -> Problem | None:
    """What is wrong with a value of this type, whose TypedDicts hold no further fields."""
    return _check_of(kind, closed=True)(value)


def fields_of(kind: type) -> dict[str, tuple[bool, object]]:
    """The fields of a TypedDict or a dataclass by name: whether it is required, and its type."""
    hints = get_type_hints(kind, include_extras=True)
    if is_dataclass(kind):
        bare = {f.name for f in fields(kind) if f.default is f.default_factory is MISSING}
        return {each.name: (each.name in bare, hints[each.name]) for each in fields(kind)}
    # Annotations that are text hide their marks from `__required_keys__`.
    required: frozenset[str] = getattr(kind, "__required_keys__", frozenset())
    marks = {Required: True, NotRequired: False}
    return {
        name: (marks.get(get_origin(hint), name in required), _bare(hint))
        for name, hint in hints.items()
    }


def tag_of(kind: type, field: str = "type") -> str:
    """What tells a kind of a tagged union from the others: the literal of this field."""
    (tag,) = get_args(fields_of(kind)[field][1])
    return str(tag)


def _bare(hint: object) -> object:
    return get_args(hint)[0] if get_origin(hint) in {Required, NotRequired} else hint


@cache
def _check_of(kind: object, *, closed: bool) -> _Check:
    origin, parts = get_origin(kind), get_args(kind)
    if origin is None:
        return _check_of_class(kind, closed=closed)
    if origin is Annotated:
        return partial(_check_more, _check_of(parts[0], closed=closed), parts[1:])
    if origin is Literal:
        return partial(_check_that, parts.__contains__, f"one of {', '.join(map(str, parts))}")
    inner = [_check_of(each, closed=closed) for each in parts if each is not Ellipsis]
    if origin is tuple and parts[-1] is not Ellipsis:
        return partial(_check_row, inner)
    if origin in {Union, UnionType}:
        return partial(_check_any, inner)
    return (
        partial(_check_values, *inner)
        if origin in {dict, Mapping}
        else partial(_check_items, inner[-1])
    )


def _check_of_class(kind: object, *, closed: bool) -> _Check:
    if isinstance(kind, type) and (is_typeddict(kind) or is_dataclass(kind)):
        inner = {
            name: (must, _check_of(hint, closed=closed))
            for name, (must, hint) in fields_of(kind).items()
        }
        return partial(_check_fields, inner, closed=closed)
    if kind is object:
        return lambda _: None
    classes = (int, float) if kind is float else (kind,)
    return partial(_check_that, lambda value: type(value) in classes, _WORDS.get(kind, "empty"))


_WORDS: Mapping[object, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
}


def _wrong(value: object, wanted: str) -> Problem:
    return Problem((), "value", repr(value), f"{value!r:.40} is not {wanted}")


def _check_that(holds: Callable[[object], bool], wanted: str, value: object) -> Problem | None:
    return None if holds(value) else _wrong(value, wanted)


def _check_more(check: _Check, rules: Sequence[object], value: object) -> Problem | None:
    found = check(value)
    for rule in rules if found is None else ():
        if isinstance(rule, Rule) and not rule.holds(value):
            return _wrong(value, rule.wanted)
        if isinstance(rule, Whole) and (said := rule.problem(value)) is not None:
            return Problem((), "rule", repr(value), said)
    return found


def _check_any(checks: Sequence[_Check], value: object) -> Problem | None:
    found = []
    for check in checks:
        if (problem := check(value)) is None:
            return None
        found.append(problem)
    return max(found, key=lambda each: len(each.path))


def _check_fields(
    known: Mapping[str, tuple[bool, _Check]], value: object, *, closed: bool
) -> Problem | None:
    if not isinstance(value, Mapping):
        return _wrong(value, "a mapping")
    for name, (required, _) in known.items():
        if required and name not in value:
            return Problem((name,), "missing", said="missing")
    for name, each in value.items():
        if name in known and (found := known[name][1](each)) is not None:
            return found.under(name)
    if closed and (further := [name for name in value if name not in known]):
        return Problem((further[0],), "unknown", said="unknown field")
    return None


def _check_values(key: _Check, check: _Check, value: object) -> Problem | None:
    if not isinstance(value, Mapping):
        return _wrong(value, "a mapping")
    return _first((name, key, name) for name in value) or _first(
        (name, check, each) for name, each in value.items()
    )


def _check_items(check: _Check, value: object) -> Problem | None:
    if not isinstance(value, (list, tuple)):
        return _wrong(value, "a list")
    return _first((number, check, each) for number, each in enumerate(value))


def _check_row(checks: Sequence[_Check], value: object) -> Problem | None:
    if not isinstance(value, (list, tuple)) or len(value) != len(checks):
        return _wrong(value, f"a list of {len(checks)}")
    return _first(
        (n, check, each) for n, (check, each) in enumerate(zip(checks, value, strict=True))
    )


def _first(checked: Iterable[tuple[object, _Check, object]]) -> Problem | None:
    for name, check, value in checked:
        if (found := check(value)) is not None:
            return found.under(name)
    return None
