"""What may be edited in a source file: thresholds, and operators, constants and results."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

GRID = 3
"""Constants that hold more plain numbers are grids, not thresholds: their numbers are sampled."""

STRICTER: dict[type[ast.cmpop], ast.cmpop] = {
    ast.Lt: ast.LtE(), ast.LtE: ast.Lt(), ast.Gt: ast.GtE(), ast.GtE: ast.Gt(),
}  # fmt: skip
OPPOSITE: dict[type[ast.cmpop], ast.cmpop] = {
    ast.Lt: ast.GtE(), ast.LtE: ast.Gt(), ast.Gt: ast.LtE(), ast.GtE: ast.Lt(),
    ast.Eq: ast.NotEq(), ast.NotEq: ast.Eq(), ast.Is: ast.IsNot(), ast.IsNot: ast.Is(),
    ast.In: ast.NotIn(), ast.NotIn: ast.In(),
}  # fmt: skip
ARITHMETIC: dict[type[ast.operator], ast.operator] = {
    ast.Add: ast.Sub(), ast.Sub: ast.Add(), ast.Mult: ast.Div(), ast.Div: ast.Mult(),
    ast.FloorDiv: ast.Div(), ast.Mod: ast.Mult(), ast.Pow: ast.Mult(),
}  # fmt: skip
PLAIN = (ast.Name, ast.Attribute, ast.Call, ast.NamedExpr)
"""Conditions that are no comparison of their own."""

NOTHING = "return None"
UNTOUCHED = (ast.JoinedStr, ast.Raise, ast.Import, ast.ImportFrom, ast.Assert)
"""Wording, and what only says that something is wrong."""


@dataclass(frozen=True)
class Edit:
    """One expression replaced; `begin` and `end` are offsets in bytes, `lines` those it is in.

    `key` names the edit without its line, so that it is known again after other changes.
    """

    path: Path
    key: str
    kind: str
    begin: int
    end: int
    lines: range
    after: str
    source: bytes = field(repr=False)
    constant: str | None = None

    def applied(self) -> bytes:
        """The source with the edit, every other line where it was."""
        source = self.source
        lines = b"\n" * source[self.begin : self.end].count(b"\n")
        after = b"(" + lines + self.after.encode() + b")" if lines else self.after.encode()
        return source[: self.begin] + after + source[self.end :]


class _Source:
    def __init__(self, path: Path) -> None:
        self.path, self.bytes = path, path.read_bytes()
        self.tree = ast.parse(self.bytes)
        self.starts = [0]
        for line in self.bytes.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))

    def edit(
        self,
        node: ast.expr,
        after: str,
        kind: str,
        where: str,
        lines: range,
        constant: str | None = None,
    ) -> Edit:
        begin = self.starts[node.lineno - 1] + node.col_offset
        end = self.starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
        before = " ".join(self.bytes[begin:end].decode().split())
        if kind == "constant":  # a number alone says nothing
            line = self.bytes[self.starts[node.lineno - 1] : self.starts[node.lineno]]
            column = node.col_offset
            shown = line[:column] + f"[{before} -> {after}]".encode() + line[column + end - begin :]
            text = f"{self.path}: {where}: {shown.decode().strip()}"
        else:
            text = f"{self.path}: {where}: {before} -> {after}"
        return Edit(self.path, text, kind, begin, end, lines, after, self.bytes, constant)


def thresholds(path: Path) -> Iterator[Edit]:
    """Every number of a constant and of a class's defaults, halved and doubled."""
    source = _Source(path)
    for node, name, constant in _constants(source.tree):
        lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
        found = [(each, each.value) for each in ast.walk(node) if isinstance(each, ast.Constant)]
        numbers = [(each, number) for each, number in found if isinstance(number, (int, float))
                   and not isinstance(number, bool)]  # fmt: skip
        if isinstance(node, ast.Tuple | ast.List) and len(numbers) > GRID:
            continue
        for each, number in numbers:
            for other in (number // 2 if isinstance(number, int) else number / 2, number * 2):
                if other != number:
                    yield source.edit(each, repr(other), "threshold", name, lines, constant)


def _constants(tree: ast.Module) -> Iterator[tuple[ast.expr, str, str | None]]:
    """Values, what they are called, and the constant's name; None for the default of a field."""
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            names = target.elts if isinstance(target, ast.Tuple) else [target]
            parts = node.value.elts if len(names) > 1 and isinstance(node.value, ast.Tuple) else []
            for name, value in zip(names, parts or [node.value], strict=True):
                if isinstance(name, ast.Name) and name.id.isupper():
                    yield value, name.id, name.id
        elif isinstance(node, ast.ClassDef):
            for field in node.body:
                if isinstance(field, ast.AnnAssign) and field.value is not None:
                    yield field.value, f"{node.name}.{ast.unparse(field.target)}", None


def others(path: Path) -> Iterator[Edit]:
    """Comparisons, boolean operators, conditions, arithmetic, numbers and results in functions."""
    source = _Source(path)
    for node in source.tree.body:
        yield from _in(source, node, "", None)


def _in(source: _Source, node: ast.AST, where: str, lines: range | None) -> Iterator[Edit]:
    """The edits of a node; `lines` are those of its statement, None outside of functions."""
    if isinstance(node, UNTOUCHED) or (isinstance(node, ast.expr) and lines is None):
        return
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        where = f"{where}.{node.name}".lstrip(".")
    if isinstance(node, ast.FunctionDef):
        for statement in node.body:
            yield from _in(source, statement, where, _header(statement))
        return
    if lines is not None:
        lines = _header(node) if isinstance(node, ast.stmt) else lines
        for target, kind, after in _changes(node):
            yield source.edit(target, after, kind, where, lines)
    for each in _parts(node):
        yield from _in(source, each, where, lines)


def _header(node: ast.stmt) -> range:
    """The lines of a statement, without those of its body."""
    body = getattr(node, "body", None)
    last = body[0].lineno - 1 if body else node.end_lineno or node.lineno
    return range(node.lineno, max(last, node.lineno) + 1)


def _parts(node: ast.AST) -> Iterator[ast.AST]:
    """What a node consists of, but for types, decorators and `strict` (a check, no rule)."""
    if isinstance(node, ast.keyword) and node.arg == "strict":
        return
    for name, value in ast.iter_fields(node):
        if name not in {"annotation", "returns", "decorator_list"}:
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, ast.AST):
                    yield each


def _changes(node: ast.AST) -> Iterator[tuple[ast.expr, str, str]]:
    """(the expression to replace, the kind of edit, the new text)"""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        for table in (STRICTER, OPPOSITE):
            if (sign := table.get(type(node.ops[0]))) is not None:
                yield node, "comparison", _with(node, ops=[sign])
    elif isinstance(node, ast.BoolOp):
        operator = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield node, "boolean operator", _with(node, op=operator)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node, "boolean operator", f"({ast.unparse(node.operand)})"
    elif isinstance(node, ast.BinOp) and not _is_text(node) and type(node.op) in ARITHMETIC:
        yield node, "arithmetic", _with(node, op=ARITHMETIC[type(node.op)])
    elif isinstance(node, ast.Constant):
        yield from ((node, "constant", after) for after in _other(node.value))
    elif isinstance(node, ast.Return) and node.value is not None and ast.unparse(node) != NOTHING:
        yield node.value, "result", "None"
    elif isinstance(node, ast.If | ast.While | ast.IfExp) and isinstance(node.test, PLAIN):
        yield node.test, "condition", f"(not ({ast.unparse(node.test)}))"


def _other(value: object) -> Iterator[str]:
    """Another value of a constant."""
    if isinstance(value, bool):
        yield repr(not value)
    elif isinstance(value, int):
        yield repr(value + 1)
    elif isinstance(value, float):
        yield repr(value * 2 or 1.0)


def _is_text(node: ast.BinOp) -> bool:
    sides = (node.left, node.right)
    return any(
        isinstance(each, ast.JoinedStr)
        or (isinstance(each, ast.Constant) and isinstance(each.value, str))
        for each in sides
    )


def _with(node: ast.expr, **fields: object) -> str:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return f"({ast.unparse(changed)})"
