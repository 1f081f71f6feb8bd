"""Typed JSON: readers of dataclasses, and the check of a value against its type."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache, partial
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Literal,
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


_Problem = tuple[str, str]
"""The path of a value that its type does not allow (`units.0.pid`), and what it is; "": missing."""

_Check = Callable[[object], _Problem | None]


def problem_of(value: object, kind: object) -> str | None:
    """None for a value that JSON has for this type, else what is wrong: `with units.0.pid 'x'`.

    `kind` is a TypedDict, a dataclass, or made of JSON's own types; further fields are let pass.
    """
    found = _check_of(kind)(value)
    if found is None:
        return None
    path, shown = found
    return f"with {path} {shown:.40}".replace("  ", " ") if shown else f"without {path}"


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
def _check_of(kind: object) -> _Check:
    origin, parts = get_origin(kind), get_args(kind)
    if origin is None:
        return _check_of_class(kind)
    if origin is Literal:
        return partial(_check_that, parts.__contains__)
    if origin is tuple and parts[-1] is not Ellipsis:
        return partial(_check_row, [_check_of(each) for each in parts])
    inner = [_check_of(each) for each in parts if each is not Ellipsis]
    if origin in {Union, UnionType}:
        return partial(_check_any, inner)
    return partial(_check_values if origin in {dict, Mapping} else _check_items, inner[-1])


def _check_of_class(kind: object) -> _Check:
    if isinstance(kind, type) and (is_typeddict(kind) or is_dataclass(kind)):
        inner = {name: (must, _check_of(hint)) for name, (must, hint) in fields_of(kind).items()}
        return partial(_check_fields, inner)
    if kind is object:
        return lambda _: None
    classes = (int, float) if kind is float else (kind,)
    return partial(_check_that, lambda value: type(value) in classes)


def _check_that(holds: Callable[[object], bool], value: object) -> _Problem | None:
    return None if holds(value) else ("", repr(value))


def _check_any(checks: Sequence[_Check], value: object) -> _Problem | None:
    found = [problem for check in checks if (problem := check(value)) is not None]
    return max(found, key=lambda each: len(each[0])) if len(found) == len(checks) else None


def _check_fields(known: Mapping[str, tuple[bool, _Check]], value: object) -> _Problem | None:
    if not isinstance(value, Mapping):
        return "", repr(value)
    for name, (required, _) in known.items():
        if required and name not in value:
            return name, ""
    return _first((name, known[name][1], each) for name, each in value.items() if name in known)


def _check_values(check: _Check, value: object) -> _Problem | None:
    if not isinstance(value, Mapping):
        return "", repr(value)
    return _first((name, check, each) for name, each in value.items())


def _check_items(check: _Check, value: object) -> _Problem | None:
    if not isinstance(value, (list, tuple)):
        return "", repr(value)
    return _first((number, check, each) for number, each in enumerate(value))


def _check_row(checks: Sequence[_Check], value: object) -> _Problem | None:
    if not isinstance(value, (list, tuple)) or len(value) != len(checks):
        return "", repr(value)
    return _first(
        (n, check, each) for n, (check, each) in enumerate(zip(checks, value, strict=True))
    )


def _first(checked: Iterable[tuple[object, _Check, object]]) -> _Problem | None:
    for name, check, value in checked:
        if (found := check(value)) is not None:
            path, shown = found
            return f"{name}.{path}".rstrip("."), shown
    return None
