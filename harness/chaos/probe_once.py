"""One GET by a fresh connection: `probe_once.py ENDPOINT PATH TIMEOUT TEXT`; 0 for a right answer.

Run by path and isolated, with the standard library and its neighbour only, so that it starts in
milliseconds. The time counts from here, and ends the process.
"""

import json
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from probe_client import Endpoint, is_right  # type: ignore[import-not-found]

if __name__ == "__main__":
    endpoint, path, timeout_s, expected = sys.argv[1:5]
    signal.setitimer(signal.ITIMER_REAL, float(timeout_s))
    asked = Endpoint(**json.loads(endpoint))
    sys.exit(0 if is_right(asked, path, float(timeout_s), expected) else 1)
