"""Whether `harness limits` tells a sound rate limit from a broken one.

`python -m benchmarks.limits`: on the lab, against the reference service, whose limit is changed in
known ways.
"""

from __future__ import annotations

import json
import subprocess
import sys

CASES: tuple[tuple[str, dict[str, object], set[str]], ...] = (
    ("sound", {}, set()),
    ("one too many", {"rate_limit": 101}, {"limit"}),
    ("one too few", {"rate_limit": 99}, {"limit"}),
    ("no Retry-After", {"retry_after": False}, {"Retry-After"}),
    ("keys share the limit", {"rate_shared": True}, {"limit", "other keys"}),
    ("no limit", {"rate_limit": None},
     {"limit", "Retry-After", "recovery"}),
)  # fmt: skip
"""Name, behaviour, the checks that must not pass."""

WORDS = ("memorai", "--limit", "100", "--window", "4s")


def judged(behaviour: dict[str, object]) -> set[str]:
    """The checks that did not pass."""
    command = [sys.executable, "-m", "harness", "limits", *WORDS, "--json", "--behaviour"]
    done = subprocess.run(
        [*command, json.dumps(behaviour)], capture_output=True, text=True, check=False, timeout=120
    )
    return {c["name"] for c in json.loads(done.stdout)["checks"] if c["outcome"] != "pass"}


def main() -> int:
    """Print a row for each case; 1 where one is not as it must be."""
    wrong = 0
    for name, behaviour, wanted in CASES:
        found = judged(behaviour)
        ok = wanted <= found if wanted else not found
        wrong += not ok
        print(f"{name:22}{'right' if ok else 'WRONG'}  {', '.join(sorted(found)) or 'all pass'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
