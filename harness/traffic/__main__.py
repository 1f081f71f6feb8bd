"""`python -m harness.traffic describe FILE`: a scenario's model as one line of JSON.

What is wrong with the file is one line of JSON as well, with exit code 2.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from harness.errors import HarnessError
from harness.traffic.declared import stand_in_for_locust
from harness.traffic.scenario import describe


def main(words: Sequence[str]) -> int:
    """Describe one scenario on standard output; returns the exit code."""
    if len(words) != 2 or words[0] != "describe":  # noqa: PLR2004 - the word and the file
        sys.stderr.write("usage: python -m harness.traffic describe FILE\n")
        return HarnessError.exit_code
    stand_in_for_locust()
    try:
        answer, code = asdict(describe(Path(words[1]))), 0
    except HarnessError as error:
        answer = {"problem": error.problem, "remedy": error.remedy}
        code = error.exit_code
    sys.stdout.write(f"\n{json.dumps(answer)}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
