"""Readers and writers of dataclasses, each made once, when it is first asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")

_made: dict[type, Any] = {}


def adapter(kind: type[T]) -> TypeAdapter[T]:
    """Pydantic's adapter of a dataclass: making one takes tens of milliseconds."""
    from pydantic import TypeAdapter  # noqa: PLC0415 - heavy

    if kind not in _made:
        _made[kind] = TypeAdapter(kind)
    found: TypeAdapter[T] = _made[kind]
    return found
