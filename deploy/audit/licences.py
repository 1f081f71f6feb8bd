"""Which licences are allowed: permissive ones, weak copyleft; everything else is for a person."""

from __future__ import annotations

import re
from collections.abc import Mapping

REFUSED = re.compile(
    r"AGPL|AFFERO|(?<!L)GPL|(?<!Lesser )General Public License|SSPL|BUSL|Commons|Proprietary",
    re.IGNORECASE,
)
ALLOWED = re.compile(
    r"\b(MIT|BSD|0BSD|Apache|ISC|PSF|CNRI|Python Software Foundation|MPL|Mozilla Public License|"
    r"LGPL|Lesser General Public License|Zlib|Unlicense|CC0|BSL-1\.0|Boost|Unicode|HPND|NCSA|"
    r"CDLA-Permissive|BlueOak|Public Domain|LLVM-exception|Zope|ZPL)",
    re.IGNORECASE,
)


def problem_of(licence: str) -> str | None:
    """Why an SPDX expression or a licence's name is not allowed; None where it is.

    One side of an OR is enough, both of an AND are needed (SPDX 2.3, annex D).
    """
    licence = licence.strip()
    if len(choices := _split(licence, "OR")) > 1:
        problems = [problem_of(each) for each in choices]
        return None if None in problems else problems[0]
    if len(parts := _split(licence, "AND")) > 1:
        return next(filter(None, map(problem_of, parts)), None)
    if licence.startswith("(") and licence.endswith(")"):
        return problem_of(licence[1:-1])
    if REFUSED.search(licence):
        return licence
    return None if ALLOWED.search(licence) else f"unknown: {licence[:60]!r}"


def _split(text: str, operator: str) -> list[str]:
    """The sides of an operator, outside parentheses."""
    parts, depth, begin = [], 0, 0
    for found in re.finditer(rf"[()]|\s{operator}\s", text):
        if found[0] in {"(", ")"}:
            depth += 1 if found[0] == "(" else -1
        elif depth == 0:
            parts.append(text[begin : found.start()])
            begin = found.end()
    return [*parts, text[begin:]]


def problems(licences: Mapping[str, str], reviewed: Mapping[str, str]) -> list[str]:
    """What is refused of name -> licence; `reviewed` has the names whose licence a person took.

    A review holds for the text that was read: another text, or a review of nothing, is a problem.
    """
    found = []
    for name, licence in sorted(licences.items()):
        problem = problem_of(licence)
        if name in reviewed:
            if licence != reviewed[name]:
                found.append(f"{name}: licence {licence!r} is not the one reviewed")
            elif problem is None:
                found.append(f"{name}: its licence {licence!r} needs no review")
        elif problem is not None:
            found.append(f"{name}: licence {problem}")
    return found
