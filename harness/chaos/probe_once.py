"""One GET by a fresh connection: `probe_once.py ENDPOINT PATH TIMEOUT TEXT`; 0 for a right answer.

Run by path and isolated, with the standard library and its neighbour only, so that it starts in
milliseconds.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from probe_client import Endpoint, ask  # type: ignore[import-not-found]


def main(endpoint: str, path: str, timeout_s: float, expected: str) -> int:
    """0 when the answer is 2xx and holds the text."""
    asked = Endpoint(**json.loads(endpoint))
    answer = ask(asked.connect(timeout_s), asked, path, {"accept": "application/json"})
    right = answer.status is not None and 200 <= answer.status < 300  # noqa: PLR2004 - success
    return 0 if right and expected in answer.body.decode(errors="replace") else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4]))
