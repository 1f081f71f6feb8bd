"""A rate limit measured at a target: the client runs where the target can be reached."""

import json
import secrets
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict

from harness.catalog.model import RateLimit
from harness.errors import PlatformError, UsageError
from harness.limits.model import KEYS, Asked, Measured
from harness.platform.model import Target
from harness.typed import adapter

MOST_REQUESTS = 100_000
GRACE_S = 120.0
"""Beyond the windows of a measurement: its bursts."""


def measure_limit(
    target: Target, path: str, limit: RateLimit, keys: Sequence[str] = ()
) -> Measured:
    """Ask as KEYS clients for a little over two windows; UsageError, PlatformError."""
    if limit.requests > MOST_REQUESTS:
        raise UsageError(f"a limit of {limit.requests:,} requests", f"at most {MOST_REQUESTS:,}")
    run = secrets.token_hex(4)
    made = tuple(keys) or tuple(f"limit-{run}-{number}" for number in range(KEYS))
    asked = Asked(
        target.urls[0], path, limit, made[:KEYS], target.host, target.ca_file, target.verify,
        target.server_name,
    )  # fmt: skip
    command = [*target.exec_prefix, sys.executable, "-m", "harness.limits.client"]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(asdict(asked)),
            capture_output=True,
            text=True,
            check=False,
            timeout=4 * limit.window_s + GRACE_S,
        )
    except subprocess.TimeoutExpired:
        raise PlatformError(
            f"{target.description}: too slow to measure its limit", "is it overloaded?"
        ) from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise PlatformError(f"the limit cannot be measured: {last}", "check the target")
    return adapter(Measured).validate_json(done.stdout)
