"""A run as it was recorded: finished, interrupted or cut short."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, cast

import numpy as np
from pydantic import ValidationError

from harness._engine import Histogram
from harness.catalog.model import Service
from harness.errors import RecordError
from harness.load.plan import LoadPlan
from harness.messages import RecordedSlice
from harness.record.distribution import Counts, Distribution, Floats
from harness.record.series import Axis, Kind, Series, SliceTable, quantiles
from harness.storage import is_held, read_lines, read_object
from harness.traffic.model import Phase
from harness.typed import adapter, first_problem, problem_of, tag_of

SCHEMA = 1
"""The version of everything in a run directory; readers refuse a newer one."""

E = TypeVar("E")

State = Literal["running", "complete", "interrupted", "failed"]
Status = Literal["running", "partial", "complete", "interrupted", "failed"]

_STATES = ("running", "complete", "interrupted", "failed")


@dataclass(frozen=True, eq=False)
class RunRecord:
    """One run directory. Counts and histograms are read from it when first asked for.

    `meta` is run.json as it stands. Times are seconds from the run's start.
    """

    directory: Path
    meta: dict[str, Any]
    service: Service
    plan: LoadPlan
    live: bool

    @classmethod
    def load(cls, directory: Path | str) -> Self:
        """Read a run directory; RecordError for none, a damaged one, or one of a newer harness."""
        directory = Path(directory)
        path = directory / "run.json"
        if not path.is_file():
            raise RecordError(
                f"{directory}: no run.json in it", "`harness runs` lists the recorded runs"
            )
        meta = read_object(path)
        check_schema(path, meta)
        if meta.get("state") not in _STATES:
            raise RecordError(f"{path}: state is {meta.get('state')!r}", "the record is damaged")
        try:
            plan = adapter(LoadPlan).validate_python(meta.get("plan"))
            service = adapter(Service).validate_python(meta.get("service"))
        except ValidationError as error:
            what = first_problem(error, "plan")
            raise RecordError(f"{path}: {what}", "the record is damaged") from None
        return cls(directory, meta, service, plan, is_held(directory))

    @property
    def id(self) -> str:
        """The run's name: the UTC instant it was created and four random digits."""
        return str(self.meta.get("id", self.directory.name))

    @property
    def state(self) -> State:
        """The state that stands in run.json."""
        state: State = self.meta["state"]
        return state

    @property
    def status(self) -> Status:
        """The state, with a running record whose writer is dead called `partial`."""
        return "partial" if self.state == "running" and not self.live else self.state

    @property
    def environment(self) -> dict[str, Any]:
        """The machine and software of the run."""
        value = self.meta.get("environment")
        return value if isinstance(value, dict) else {}

    @property
    def totals(self) -> dict[str, Any] | None:
        """The generator's own totals from its last message; None when it never sent one."""
        value = self.meta.get("totals")
        return value if isinstance(value, dict) else None

    @property
    def labels(self) -> dict[str, str]:
        """What the run was marked with: a release, a commit, the experiment it was made for."""
        value = self.meta.get("labels")
        return value if isinstance(value, dict) else {}

    @property
    def conserved(self) -> bool | None:
        """Whether the generator found offered = completed + failed + unfinished; None: no word."""
        value = self.meta.get("conserved")
        return value if isinstance(value, bool) else None

    @property
    def start_wall_ns(self) -> int | None:
        """Unix nanoseconds of the start; None when the load never began."""
        start = self.meta.get("start")
        value = start.get("wall_ns") if isinstance(start, dict) else None
        return value if isinstance(value, int) else None

    @cached_property
    def events(self) -> tuple[dict[str, Any], ...]:
        """events.jsonl in the order of writing."""
        return tuple(self._lines("events.jsonl")[0])

    def events_of(self, *types: str) -> tuple[dict[str, Any], ...]:
        """The events of some types."""
        return tuple([event for event in self.events if event.get("type") in types])

    def of(self, kind: type[E]) -> tuple[E, ...]:
        """The events of a kind of `harness.events` or `harness.messages`; raises RecordError."""
        if kind not in self._checked:
            name = tag_of(kind)
            found = self.events_of(name)
            for event in found:
                if problem := problem_of(event, kind):
                    path = self.directory / "events.jsonl"
                    raise RecordError(f"{path}: {name} {problem}", "the record is damaged")
            self._checked[kind] = found
        return cast("tuple[E, ...]", self._checked[kind])

    @cached_property
    def _checked(self) -> dict[type, tuple[dict[str, Any], ...]]:
        """What `of` has found, by kind."""
        return {}

    def measurements(self, kind: str, field: str) -> list[tuple[float, float]]:
        """(seconds from the start, number) of one field of all events of a type that have it.

        An event that speaks of a whole `second` is put into the middle of it.
        """
        found = []
        for event in self.events_of(kind):
            second = event.get("second")
            time = event.get("t") if second is None else second + 0.5
            number = event.get(field)
            if isinstance(time, (int, float)) and isinstance(number, (int, float)):
                found.append((float(time), float(number)))
        return found

    @cached_property
    def truncated(self) -> bool:
        """Whether a file ends in half a line: its writer was killed."""
        return self._lines("events.jsonl")[1] or self._slices[1]

    @property
    def slices(self) -> tuple[RecordedSlice, ...]:
        """slices.jsonl in the order of writing."""
        return cast("tuple[RecordedSlice, ...]", tuple(self._slices[0]))

    @cached_property
    def _slices(self) -> tuple[list[dict[str, object]], bool]:
        if not (self.directory / "slices.jsonl").exists():
            raise RecordError(f"{self.directory}: no slices.jsonl in it", "the record is damaged")
        return self._lines("slices.jsonl")

    @cached_property
    def _table(self) -> SliceTable:
        try:
            return SliceTable(self._slices[0])
        except (RecordError, KeyError, TypeError) as error:
            path = self.directory / "slices.jsonl"
            raise RecordError(f"{path}: {error}", "the record is damaged") from None

    def _lines(self, name: str) -> tuple[list[dict[str, Any]], bool]:
        path = self.directory / name
        rows, truncated = read_lines(path)
        if rows:
            check_schema(path, {"schema": SCHEMA, **rows[0]})
        return rows, truncated

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Every endpoint that was measured."""
        return self._table.endpoints

    @property
    def seconds(self) -> int:
        """Seconds from the start to the end of the last slice."""
        return self._table.seconds

    @cached_property
    def _series(self) -> dict[tuple[Axis, str | None], Series]:
        return {}

    def series(self, axis: Axis = "due", endpoint: str | None = None) -> Series:
        """Counts per second of one endpoint, or of all."""
        key = (axis, endpoint)
        if key not in self._series:
            self._series[key] = self._table.series(axis, endpoint)
        return self._series[key]

    def quantile_series(
        self, q: float, kind: Kind = "response", axis: Axis = "due", endpoint: str | None = None
    ) -> Floats:
        """The quantile of each second in seconds, f64[n]; NaN where nothing was measured."""
        return quantiles(self._table.distributions(kind, axis, endpoint), q)

    def seconds_of(self, phase: Phase | None = "hold") -> Counts:
        """The recorded seconds that lie wholly in a phase, i64[k]; None: all of them.

        A second that straddles two phases belongs to neither, and a load that was ended early has
        no second after it.
        """
        if phase is None:
            return np.arange(self.seconds, dtype=np.int64)
        seconds = np.array(self.plan.profile.whole_seconds(phase), np.int64)
        return seconds[seconds < min(self.seconds, self.ended_early_s)]

    @cached_property
    def ended_early_s(self) -> float:
        """The second at which the harness ended the load early; infinity if it did not."""
        found = [event.get("second") for event in self.events_of("early_end")]
        return min((float(s) for s in found if isinstance(s, (int, float))), default=math.inf)

    def in_hold(self, kind: str, field: str) -> list[float]:
        """The measurements within the planned hold."""
        spans = [(begin, end) for name, begin, end in self.plan.profile.phases() if name == "hold"]
        found = self.measurements(kind, field)
        return [number for at, number in found if any(b <= at < e for b, e in spans)]

    def planned_seconds(self, phase: Phase = "hold") -> float:
        """How long the profile wanted the phase to last."""
        return sum(end - begin for name, begin, end in self.plan.profile.phases() if name == phase)

    def distribution(
        self,
        kind: Kind = "response",
        phase: Phase | None = "hold",
        endpoint: str | None = None,
        axis: Axis = "due",
    ) -> Distribution:
        """All latencies of a phase together."""
        key = (kind, phase, endpoint, axis)
        if key not in self._distributions:
            self._distributions[key] = Distribution.of(self.histogram(*key))
        return self._distributions[key]

    def distributions(
        self, kind: Kind = "response", axis: Axis = "due", endpoint: str | None = None
    ) -> list[Distribution | None]:
        """The latencies of each second, None where nothing was measured."""
        return self._table.distributions(kind, axis, endpoint)

    def histogram(
        self,
        kind: Kind = "response",
        phase: Phase | None = "hold",
        endpoint: str | None = None,
        axis: Axis = "due",
    ) -> Histogram:
        """The same as `distribution`, as an HDR histogram that can be stored."""
        return self._table.merged(kind, axis, endpoint, self.seconds_of(phase))

    @cached_property
    def _distributions(self) -> dict[tuple[Kind, Phase | None, str | None, Axis], Distribution]:
        return {}


def check_schema(path: Path, value: Mapping[str, object]) -> None:
    """Raise RecordError unless this harness can read the file's schema."""
    schema = value.get("schema")
    if type(schema) is not int:
        raise RecordError(f"{path}: no schema number", "the record is damaged")
    if schema > SCHEMA:
        raise RecordError(
            f"{path}: written with schema {schema}, this harness reads up to {SCHEMA}",
            "update the harness",
        )
