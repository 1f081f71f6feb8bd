"""The scorecard of a fleet: one line for each service, one word for all."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal, get_args

from harness.catalog.dependencies import check_dependencies
from harness.catalog.model import Service, Tier
from harness.errors import RecordError, UsageError
from harness.judge.model import CERTAINTY, EXIT_CODES, Outcome
from harness.storage import make_directory, read_object, write_json

SCHEMA = 1
DIRECTORY = "fleets"
FILE = "fleet.json"

Word = Outcome | Literal["not run"]


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """Which services, and how each is driven.

    `words` are options of `harness perf` for every service; `budget_s` is what one may take, in
    seconds of wall-clock time, its deployment included; `capacity` asks for a capacity search
    within that budget as well. `seed` decides the order.
    """

    services: tuple[str, ...]
    words: tuple[str, ...]
    budget_s: float
    seed: int
    capacity: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one service: times in seconds, rates in requests/s, None where unknown.

    `capacity` None: not tested. `ended_unix_s` is when its run ended.
    """

    service: str
    tier: str
    outcome: Word
    reason: str = ""
    p95_s: float | None = None
    error_ratio: float | None = None
    capacity: float | None = None
    record: str | None = None
    ended_unix_s: float | None = None
    took_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Fleet:
    """A fleet under way or done; its entries stand in the order in which they are run."""

    id: str
    options: FleetOptions
    entries: tuple[Entry, ...]

    @property
    def outcome(self) -> Outcome:
        """The worst word of all; a service that was not run leaves it inconclusive."""
        words = {entry.outcome for entry in self.entries}
        if "not run" in words:
            words.add("inconclusive")
        return next((word for word in CERTAINTY if word in words), "inconclusive")

    @property
    def exit_code(self) -> int:
        """0 pass, 1 fail, 3 inconclusive, 4 invalid."""
        return EXIT_CODES[self.outcome]

    @property
    def rest(self) -> tuple[Entry, ...]:
        """Those that were not run yet."""
        return tuple(entry for entry in self.entries if entry.outcome == "not run")

    def with_entry(self, entry: Entry) -> Fleet:
        """The fleet with this service's entry in its place."""
        mine = tuple(entry if each.service == entry.service else each for each in self.entries)
        return Fleet(self.id, self.options, mine)

    def as_dict(self) -> dict[str, object]:
        """fleet.json: `schema`, `outcome`, `exit_code` and every field by its name."""
        found = {"schema": SCHEMA, "outcome": self.outcome, "exit_code": self.exit_code}
        return {**found, **asdict(self)}

    def keep(self, root: Path) -> None:
        """Write fleet.json, whole or not at all."""
        directory = root / DIRECTORY / self.id
        make_directory(directory)
        write_json(directory / FILE, self.as_dict())


def chosen(
    services: Sequence[Service],
    names: Collection[str] = (),
    tiers: Collection[str] = (),
    *,
    core_apps: bool = False,
) -> tuple[Service, ...]:
    """The services that are meant, by default all; UsageError for an unknown tier or none left."""
    check_dependencies(services)
    for tier in tiers:
        if tier not in get_args(Tier):
            raise UsageError(f"no tier {tier!r}", f"give one of {', '.join(get_args(Tier))}")
    found = tuple(
        each
        for each in services
        if (not names or each.name in names)
        and (not tiers or each.tier in tiers)
        and (each.core_app or not core_apps)
    )
    if not found:
        raise UsageError("no service is left", "widen the choice: `harness services`")
    return found


def in_order(services: Sequence[Service], seed: int) -> tuple[Service, ...]:
    """The services in an order drawn by the seed: none always gets the machine while it is cold."""
    drawn = sorted(services, key=lambda each: each.name)
    random.Random(seed).shuffle(drawn)  # noqa: S311 - an order, no secret
    return tuple(drawn)


def seed_of(day: date) -> int:
    """The usual seed of a date: another order every night, the same all day."""
    return day.toordinal()


def latest(root: Path) -> Fleet | None:
    """The newest fleet that can be read."""
    for path in sorted((root / DIRECTORY).glob(f"*/{FILE}"), reverse=True):
        try:
            return _parsed(read_object(path))
        except (RecordError, KeyError, TypeError):
            continue
    return None


def _parsed(found: Mapping[str, Any]) -> Fleet:
    given = dict(found["options"])
    options = FleetOptions(
        **{**given, "services": tuple(given["services"]), "words": tuple(given["words"])}
    )
    return Fleet(str(found["id"]), options, tuple(Entry(**each) for each in found["entries"]))
