"""`python -m harness.traffic FILE`: a scenario's model, or what is wrong with it, as JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from harness.errors import HarnessError
from harness.traffic.scenario import describe

if __name__ == "__main__":
    try:
        answer = asdict(describe(Path(sys.argv[1])))
    except HarnessError as error:
        answer = {"problem": error.problem, "remedy": error.remedy}
    print(json.dumps(answer))  # noqa: T201 - its purpose
