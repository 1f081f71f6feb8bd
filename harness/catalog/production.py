"""Which names speak of production."""

import os
import re
from fnmatch import fnmatchcase

PATTERNS_VARIABLE = "HARNESS_PRODUCTION_NAMES"
"""More names of production, for example `blue,customer-*`: shell patterns, with commas between."""

_NOT = r"(?<!non)(?<!non[-_.])(?<!re)"
_USUAL = re.compile(rf"{_NOT}(?:(?<![a-z])(?:prod|prd|live)(?![a-z])|production)")
_PARTS = re.compile(r"[./:@]")


def is_production_name(name: str) -> bool:
    """Whether a host, namespace, context, cluster or environment is production by its name.

    `prod`, `prd` and `live` count as words (`eu-prod2`), `production` anywhere; `non-prod` and the
    like do not. Those of HARNESS_PRODUCTION_NAMES are matched with the name and each part of it.
    """
    name = name.lower()
    if _USUAL.search(name):
        return True
    words = os.environ.get(PATTERNS_VARIABLE, "").lower().split(",")
    patterns = [word.strip() for word in words if word.strip()]
    parts = (name, *_PARTS.split(name))
    return any(fnmatchcase(part, pattern) for pattern in patterns for part in parts)
