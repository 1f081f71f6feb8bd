"""What the lab's processes that the engine serves have in common."""

import signal
import sys
from collections.abc import Callable


def serve(entry: Callable[[str], None]) -> None:
    """Serve as the process's one argument says, a JSON object, until the process ends."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's own handler would wait for the end
    try:
        entry(sys.argv[1])
    except (OSError, ValueError) as problem:
        sys.exit(f"lab: {problem}")
