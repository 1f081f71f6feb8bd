"""The kinds of faults in words, from their models; run, it writes docs/faults.md."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic.fields import FieldInfo

from harness.faults.model import FaultKind, OnKubernetes, OnLab, expected
from harness.faults.registry import kinds

PLATFORMS = ("lab", "kubernetes")
HEAD = """# Faults
What `inject` of an experiment's method takes: `arguments: {fault: KIND, ...}`. `harness fault show
KIND` prints one kind; `harness lab faults` says what this machine can carry out. How each is held
on a cluster: [kubernetes](kubernetes.md#how-a-fault-is-held).

Made from the models in `harness/faults/kinds/` by `python -m harness.faults.pages docs/faults.md`:
do not edit.
"""


@dataclass(frozen=True, slots=True)
class ArgumentText:
    """One argument in words; `notes` say where a platform differs."""

    name: str
    value: str
    default: str | None
    help: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KindText:
    """One kind in words; `platforms`: None where it can be carried out, else why not."""

    name: str
    summary: str
    hits: str
    platforms: Mapping[str, str | None]
    capability: str | None
    permissions: tuple[str, ...]
    arguments: tuple[ArgumentText, ...]

    @property
    def where(self) -> str:
        """The platforms that can carry it out; `-`: none."""
        return ", ".join(n for n, missing in self.platforms.items() if missing is None) or "-"


def text_of(kind: FaultKind) -> KindText:
    """A kind in words."""
    places = {name: kind.on(name) for name in PLATFORMS}
    cluster = kind.kubernetes
    needs = cluster.all_permissions if isinstance(cluster, OnKubernetes) else ()
    return KindText(
        name=kind.name,
        summary=kind.summary,
        hits=kind.hits,
        platforms={n: each if isinstance(each, str) else None for n, each in places.items()},
        capability=kind.lab.capability if isinstance(kind.lab, OnLab) else None,
        permissions=tuple(f"{verb} {resource}" for _, resource, verb in dict.fromkeys(needs)),
        arguments=tuple(
            _argument(kind, name, info) for name, info in kind.arguments.model_fields.items()
        ),
    )


def _argument(kind: FaultKind, name: str, info: FieldInfo) -> ArgumentText:
    notes = []
    if isinstance(kind.lab, OnLab):
        if name in kind.lab.lacks:
            notes.append("not on the lab")
        if name in kind.lab.limits:
            notes.append(f"on the lab {expected(info, kind.lab.limits[name])}")
    if isinstance(kind.kubernetes, OnKubernetes):
        if name in kind.kubernetes.lacks:
            notes.append("not on a cluster")
        if name in kind.kubernetes.ignores:
            notes.append(f"not kept on a cluster: {kind.kubernetes.ignores[name]}")
    extra = info.json_schema_extra
    unit = f" {extra['unit']}" if isinstance(extra, dict) else ""
    default = None if info.is_required() or info.default is None else str(info.default)
    return ArgumentText(name, expected(info) + unit, default, info.description or "", tuple(notes))


def page() -> str:
    """docs/faults.md."""
    texts = [text_of(kind) for kind in kinds().values()]
    rows = [f"| [`{each.name}`](#{each.name}) | {each.summary} | {each.where} |" for each in texts]
    table = "\n".join(["| kind | what fails | where |", "|---|---|---|", *rows])
    return "\n".join([HEAD, table, "", *map(_section, texts)])


def _section(text: KindText) -> str:
    lines = [f"## {text.name}", text.summary, ""]
    for name, missing in text.platforms.items():
        if missing is not None:
            lines.append(f"- Not on {name}: {missing}.")
    if text.capability is not None:
        lines.append(f"- The lab needs {CAPABILITIES[text.capability]}.")
    if text.permissions:
        lines.append(
            f"- A cluster must permit, besides `base`: {', '.join(text.permissions)} "
            f"(`deploy/rbac/{text.name}.yaml`)."
        )
    if text.arguments:
        lines += ["", "| argument | value | default | meaning |", "|---|---|---|---|"]
        lines += [
            f"| `{a.name}` | {a.value} | {a.default or ''} | {'; '.join((a.help, *a.notes))} |"
            for a in text.arguments
        ]
    return "\n".join([*lines, ""])


CAPABILITIES: Mapping[str, str] = {
    "network": "a network namespace of its own",
    "nftables": "a network namespace of its own and nftables",
    "own cores": "cores that the load generator does not use",
}


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
