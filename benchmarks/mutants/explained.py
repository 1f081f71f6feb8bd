"""Edits that no test can notice, or that none should, each with the reason."""

from __future__ import annotations

from collections.abc import Mapping

EXPLAINED: Mapping[str, str] = {}
