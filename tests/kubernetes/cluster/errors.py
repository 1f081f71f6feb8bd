"""What can go wrong with the fixture, told in one line."""

from __future__ import annotations


class ClusterError(Exception):
    """The cluster cannot be built, started or stopped; the message says why and what to do."""
