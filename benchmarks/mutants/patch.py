"""An edited module in a running process: its functions and constants as the edit makes them."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from benchmarks.mutants.edits import Edit

OURS = frozenset({"harness", "tests", "benchmarks"})
ADDRESS = " at 0x"
"""Of an object that is shown by its address: it holds functions, which get their new code."""

Key = tuple[str, int, int]
"""The name of a code object, its line, and which it is of those with the same name and line."""


def patch(edit: Edit) -> None:
    """Make this process run the edit: what has been imported keeps its objects, with new code."""
    gc.unfreeze()  # the tests freeze what they have imported, which no longer counts as alive then
    _renew(_module(edit.path), edit.source, edit.applied())
    if edit.constant is not None:
        edited = _module(edit.path)
        for module in list(sys.modules.values()):
            if module is not edited and _imports(module, edited, edit.constant):
                source = Path(str(module.__file__)).read_bytes()
                _renew(module, source, source)


def _imports(module: ModuleType, other: ModuleType, name: str) -> bool:
    """Whether a module of the project takes a name from another."""
    path = getattr(module, "__file__", None)
    if path is None or module.__name__.partition(".")[0] not in OURS:
        return False
    text = Path(path).read_text(encoding="utf-8") if path.endswith(".py") else ""
    package, _, last = other.__name__.rpartition(".")
    forms = (f"from {other.__name__} import", f"from {package} import {last}")
    return name in text and any(form in text for form in forms)


def _module(path: Path) -> ModuleType:
    return importlib.import_module(".".join(path.with_suffix("").parts).removesuffix(".__init__"))


def _renew(module: ModuleType, known: bytes, source: bytes) -> None:
    """Run the source beside the module, and give the functions of `known` what it made."""
    path = str(module.__file__)
    fresh = ModuleType(module.__name__)
    fresh.__dict__.update(__file__=path, __package__=module.__package__)
    code = compile(source, path, "exec", dont_inherit=True)
    exec(code, fresh.__dict__)  # noqa: S102 - the project's own source
    codes = dict(_codes(code))
    keys = {old: key for key, old in _codes(compile(known, path, "exec", dont_inherit=True))}
    made = {keys_of: each for each in _functions(fresh) if (keys_of := each.__code__) is not None}
    for function in _functions(module):
        key = keys.get(function.__code__)
        if key is None or key not in codes:
            continue
        function.__code__ = codes[key]
        new = made.get(codes[key])
        if new is not None:
            function.__defaults__, function.__kwdefaults__ = new.__defaults__, new.__kwdefaults__
    _set_constants(module, fresh)


def _codes(code: CodeType) -> Iterator[tuple[Key, CodeType]]:
    """Every code object in the order of the source."""
    seen: dict[tuple[str, int], int] = {}

    def walk(each: CodeType) -> Iterator[tuple[Key, CodeType]]:
        for constant in each.co_consts:
            if isinstance(constant, CodeType):
                name = constant.co_qualname, constant.co_firstlineno
                seen[name] = seen.get(name, -1) + 1
                yield (*name, seen[name]), constant
                yield from walk(constant)

    return walk(code)


def _functions(module: ModuleType) -> list[FunctionType]:
    """Those alive that belong to the module, nested and wrapped ones too."""
    return [
        each
        for each in gc.get_objects()
        if isinstance(each, FunctionType) and each.__globals__ is module.__dict__
    ]


def _set_constants(module: ModuleType, fresh: ModuleType) -> None:
    """Constants whose value is another, wherever they have been imported; defaults of fields."""
    for name, new in vars(fresh).items():
        old = vars(module).get(name)
        if isinstance(new, type) and isinstance(old, type) and new.__module__ == module.__name__:
            _copy_defaults(old, new)
        elif name.strip("_").isupper() and repr(old) != repr(new) and ADDRESS not in repr(new):
            setattr(module, name, new)
            for other in list(sys.modules.values()):
                if vars(other).get(name) is old and _imports(other, module, name):
                    setattr(other, name, new)


def _copy_defaults(old: Any, new: Any) -> None:
    made, known = new.__init__, old.__init__
    if isinstance(made, FunctionType) and isinstance(known, FunctionType):
        known.__defaults__, known.__kwdefaults__ = made.__defaults__, made.__kwdefaults__
