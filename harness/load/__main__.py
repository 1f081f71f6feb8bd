"""The load child: `python -m harness.load PLAN.json`, see docs/contracts.md.

Importing this patches the process (gevent); it is never imported, only run.
"""

import sys

import locust  # noqa: F401 - patches the process, so it must come before anything else

from harness.load.child import main

if __name__ == "__main__":
    main(sys.argv[1:])
