"""A process of the lab ends with the one that started it, on every system, however that dies."""

from __future__ import annotations

import asyncio
import os
import sys


def end_with_owner() -> None:
    """End this process as soon as its standard input, held by its owner, ends."""

    def spoken() -> None:
        if not os.read(0, 4096):
            sys.exit(0)

    asyncio.get_running_loop().add_reader(0, spoken)
