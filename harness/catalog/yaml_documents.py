"""A file of several YAML documents, checked against a model each, with line numbers kept."""

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import cast

import yaml

from harness.bounded import read_file
from harness.catalog.documents import DOCUMENTS, Document, TargetDocument
from harness.catalog.pods import settings_from
from harness.errors import CatalogError
from harness.typed import Problem, check_closed

MAX_BYTES = 1 << 20
"""A description beyond this size is some other file."""

MAX_DEPTH = 1000
"""Of nested collections: libyaml's composer has no limit and ends the process without a word."""

MAX_VALUES = 1 << 20
"""With every alias written out: one of an alias of an alias is a flood out of a few lines."""

_DEEP_BYTES = 1 << 13
"""A level takes a character at least, and so many levels still fit on the stack."""

_PLAIN: dict[type[yaml.Node], str] = {
    yaml.MappingNode: "tag:yaml.org,2002:map",
    yaml.SequenceNode: "tag:yaml.org,2002:seq",
    yaml.ScalarNode: "tag:yaml.org,2002:str",
}

_LOADER: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_documents(path: Path, common: Path | None = None) -> Iterator[Document]:
    """Every document of a file, in its order; without an SLO of its own those of `common` as well.

    A Target takes the fields that it does not state from the one of `common`. There `{service}`
    and `{port}` stand for its own. Raises CatalogError naming file, line and field.
    """
    found = _values(path)
    if not found:
        raise CatalogError(f"{path}: the file is empty", "describe the service in it")
    shared = _shared(common) if common is not None and common.is_file() else ()
    own = [value for _, value in found if isinstance(value, dict)]
    words = _words(path.stem, own)
    filled = [(node, _filled(value, words)) for node, value in shared]
    usual = next((spec for _, value in filled if (spec := _target(value)) is not None), {})
    for node, value in found:
        spec = _target(value)
        if isinstance(value, dict) and spec is not None:
            yield _document(path, node, {**value, "spec": {**usual, **spec}})
        else:
            yield _document(path, node, value)
    promises = any(value.get("kind") == "SLO" for value in own)
    for node, value in filled:
        if common is not None and _target(value) is None and not promises:
            yield _document(common, node, value)


def _shared(path: Path) -> Sequence[tuple[yaml.Node, object]]:
    """The documents of a file that many others are read with."""
    found = path.stat()
    return _read_once(path, (found.st_ino, found.st_mtime_ns, found.st_size))


@lru_cache(maxsize=1)
def _read_once(path: Path, version: tuple[int, ...]) -> Sequence[tuple[yaml.Node, object]]:
    return tuple(_values(path))


def _target(value: object) -> dict[str, object] | None:
    """The `spec` of a Target; None for anything else."""
    found = value if isinstance(value, dict) and value.get("kind") == "Target" else {}
    spec = found.get("spec")
    return spec if isinstance(spec, dict) else None


def _words(name: str, documents: Sequence[Mapping[str, object]]) -> dict[str, str]:
    """What the placeholders of common documents stand for in the file of this name."""
    ports = (spec.get("port") for each in documents if (spec := _target(each)) is not None)
    return {"{service}": name, "{port}": str(next(ports, ""))}


def _filled(value: object, words: Mapping[str, str]) -> object:
    if isinstance(value, str):
        for word, text in words.items():
            value = value.replace(word, text)
        return value
    if isinstance(value, list):
        return [_filled(each, words) for each in value]
    if isinstance(value, dict):
        return {key: _filled(each, words) for key, each in value.items()}
    return value


def read_mapping(path: Path) -> dict[str, object]:
    """The one mapping of a YAML file, finite numbers only; CatalogError names file and line."""
    values = [value for _, value in _values(path)]
    if len(values) != 1 or not isinstance(values[0], dict):
        raise CatalogError(f"{path}: not a mapping", "write `name: value` lines in it")
    refuse_infinite(path, values[0])
    return values[0]


def _values(path: Path) -> list[tuple[yaml.Node, object]]:
    """Every document of a file that holds something, with what was written where."""
    text = _text(path)
    try:
        _refuse_depth(text)
        nodes = [
            node
            for node in yaml.compose_all(text, Loader=_LOADER)
            if node is not None and node.tag != "tag:yaml.org,2002:null"
        ]
        values = [_Reader(path).read(node)[0] for node in nodes]
    except yaml.YAMLError as error:
        raise CatalogError(_syntax(path, text, error), "mend the YAML") from None
    except RecursionError:
        raise CatalogError(f"{path}: nested too deeply", "flatten it") from None
    except (ValueError, OverflowError) as error:  # such as the 31st of February
        raise CatalogError(f"{path}: {error}", "mend the YAML value, or quote it") from None
    return list(zip(nodes, values, strict=True))


def refuse_infinite(path: Path, value: object, where: str = "") -> None:
    """No duration, rate or share of anything is infinite or no number."""
    if isinstance(value, float) and not math.isfinite(value):
        raise CatalogError(f"{path}: {where.lstrip('.')} is {value}", "give a finite number")
    inner = dict(enumerate(value)) if isinstance(value, list) else value
    for key, each in inner.items() if isinstance(inner, dict) else ():
        refuse_infinite(path, each, f"{where}.{key}")


def _refuse_depth(text: str) -> None:
    """Raise RecursionError for a text whose collections are nested too deeply to be composed."""
    if len(text) < _DEEP_BYTES:
        return
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise RecursionError


class _Reader:
    """Makes the value of one document, and refuses repeated keys and floods of aliases."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._others = yaml.SafeLoader("")  # numbers, dates and what is not JSON's
        self._made: dict[int, tuple[object, int]] = {}

    def read(self, node: yaml.Node) -> tuple[object, int]:
        """The value, and how many values it holds with every alias written out."""
        known = self._made.get(id(node))
        if known is not None:
            return known
        self._made[id(node)] = None, MAX_VALUES  # while it is open: an alias within it is endless
        value: object
        if isinstance(node, yaml.MappingNode):
            value, size = self._mapping(node)
        elif isinstance(node, yaml.SequenceNode):
            items = [self.read(each) for each in node.value]
            value, size = [each for each, _ in items], 1 + sum(count for _, count in items)
        else:
            value, size = node.value, 1
        if size > MAX_VALUES:
            raise CatalogError(
                f"{self._path}: its aliases stand for too many values", "write them out"
            )
        if node.tag != _PLAIN[type(node)]:
            value = self._others.construct_document(node)
        self._made[id(node)] = value, size
        return value, size

    def _mapping(self, node: yaml.MappingNode) -> tuple[dict[object, object], int]:
        """YAML forbids repeated keys, PyYAML keeps the last: a promise would be lost silently."""
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(names)) < len(names):
            self._refuse_repeated(node)
        self._others.flatten_mapping(node)
        found, size = {}, 1
        for key_node, value_node in node.value:
            (key, one), (value, more) = self.read(key_node), self.read(value_node)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(
                    None, None, "found unhashable key", key_node.start_mark
                )
            found[key] = value
            size += one + more
        return found, size

    def _refuse_repeated(self, node: yaml.MappingNode) -> None:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else ""
            if name in seen:
                raise CatalogError(
                    f"{self._path}:{key.start_mark.line + 1}: {name!r} stands twice in one mapping",
                    "keep one of them",
                )
            seen |= {name} - {""}


def _text(path: Path) -> str:
    try:
        content = read_file(path, MAX_BYTES)
    except OSError as error:
        raise CatalogError(
            f"{path}: cannot be read: {error.strerror}", "make it a readable file of a description"
        ) from None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise CatalogError(
            f"{path}:{line}: byte {content[error.start]:#04x} is not UTF-8", "save it as UTF-8"
        ) from None


def _document(path: Path, node: yaml.Node, value: object) -> Document:
    if not isinstance(value, dict):
        raise CatalogError(
            f"{path}:{node.start_mark.line + 1}: a {type(value).__name__}, not a mapping",
            "each document begins with apiVersion and kind",
        )
    key = (str(value.get("apiVersion")), str(value.get("kind")))
    model = DOCUMENTS.get(key)
    if model is None:
        known = ", ".join(f"{kind} of {version}" for version, kind in DOCUMENTS)
        raise CatalogError(
            f"{path}:{node.start_mark.line + 1}: kind {key[1]!r} of apiVersion {key[0]!r}",
            f"known are {known}",
        )
    found = check_closed(value, model)
    if found is None and key[1] == "Target":
        found = _wrong_pods(cast("TargetDocument", value))
    if found is not None:
        where = f"{path}:{_line(node, found.path)}: {key[1]}: {found.where}"
        raise CatalogError(f"{where}: {found.said}", found.remedy)
    return cast("Document", value)


def _wrong_pods(target: TargetDocument) -> Problem | None:
    for number, place in enumerate(target["spec"]["environments"]):
        if "pods" in place and isinstance(found := settings_from(place["pods"]), Problem):
            return found.under("pods").under(number).under("environments").under("spec")
    return None


def _line(node: yaml.Node, location: Sequence[object]) -> int:
    """The line (from 1) of the deepest part of `location` that is in the document."""
    line = node.start_mark.line
    for part in location:
        child = None
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == part), None)
            line = found[0].start_mark.line if found else line
            child = found[1] if found else None
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            child = node.value[part] if part < len(node.value) else None
            line = child.start_mark.line if child else line
        if child is None:
            break
        node = child
    return int(line) + 1


def _syntax(path: Path, text: str, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark else text.count("\n", 0, getattr(error, "position", 0)) + 1
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML"
    return f"{path}:{line}: {problem}"
