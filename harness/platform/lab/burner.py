"""A noisy neighbour: takes processor time or memory until its owner or its time ends.

Run as `python -m harness.platform.lab.burner '{"megabytes": 0, "for_s": 60}'`; 0 megabytes burns
processor time only, more keeps rewriting that much memory, page by page.
"""

import json
import os
import sys
import threading
import time

PAGE = 4096


def main(plan: dict[str, float]) -> None:
    """Burn for `for_s` seconds at most."""
    threading.Thread(target=_end_with_owner, daemon=True).start()
    deadline = time.monotonic() + plan["for_s"]
    memory = bytearray(int(plan["megabytes"]) * 2**20)
    mark = 0
    while time.monotonic() < deadline:
        mark = (mark + 1) % 256
        for _ in range(1 if memory else 10_000):
            memory[::PAGE] = bytes([mark]) * (len(memory) // PAGE)


def _end_with_owner() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
