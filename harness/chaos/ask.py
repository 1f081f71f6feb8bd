"""One GET by a fresh connection: `ask.py URL TIMEOUT TEXT`; exit code 0 for a right answer.

Run by path and isolated, with the standard library only, so that it starts in milliseconds.
"""

import sys
import urllib.request


def main(url: str, timeout_s: float, expected: str) -> int:
    """0 when the answer is 2xx and holds the text."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:  # noqa: S310 - as named
            body = answer.read(1 << 20).decode(errors="replace")
    except (OSError, ValueError):
        return 1
    return 0 if expected in body else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2]), sys.argv[3]))
