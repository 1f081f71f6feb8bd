"""What a judgement says; three-valued, with the numbers it rests on."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import ValidationError

from harness.catalog.model import Objective
from harness.errors import RecordError
from harness.record.run import SCHEMA, check_schema
from harness.storage import read_object
from harness.typed import adapter, first_problem

Outcome = Literal["pass", "fail", "inconclusive", "invalid"]

ResultWord = Outcome | None
"""Of one objective; None: this run could not test it, which neither passes nor blocks a pass."""

Figures = Literal["all", "latency", "load"]
"""What a broken validity check makes worthless: every figure, latencies up to what it explains, or
what is said of the offered load."""

CONFIDENCE = 0.95
"""Of every interval: two-sided, so each side errs in 2.5 % of runs at most."""

EXIT_CODES: dict[Outcome, int] = {"pass": 0, "fail": 1, "inconclusive": 3, "invalid": 4}
PRIORITY: tuple[Outcome, ...] = ("invalid", "fail", "inconclusive", "pass")
"""Of checks that say something only together: what spoils one spoils all."""

CERTAINTY: tuple[Outcome, ...] = ("fail", "invalid", "inconclusive", "pass")
"""Of figures that stand for themselves: a certain failure is not excused by another's doubt."""


@dataclass(frozen=True, slots=True)
class ObjectiveResult:
    """One objective on the hold phase.

    `estimate`, `low` and `high` are in the objective's unit (seconds, requests/s, ratio); None is
    unknown. `outcome` None means that this run could not test the objective: it neither passes nor
    blocks a pass; `invalid` that the generator may have decided it. `statement` is one sentence
    with the numbers, `method` names the interval.
    """

    objective: Objective
    estimate: float | None
    low: float | None
    high: float | None
    outcome: ResultWord
    statement: str
    method: str | None = None
    scope: str = "all endpoints"


@dataclass(frozen=True, slots=True)
class StageResult:
    """One stage of a profile that has several, from `begin` to `end` (s from the start).

    `offered_rate` and `completed_rate` in requests/s, `quantiles` name -> seconds (None: unknown),
    `outcome` the worst of its objectives, None where none could be judged.
    """

    name: str
    begin: float
    end: float
    offered_rate: float
    completed_rate: float
    quantiles: dict[str, float | None]
    error_ratio: float
    outcome: ResultWord
    statement: str


@dataclass(frozen=True, slots=True)
class ValidityCheck:
    """One condition for trusting the measurement.

    `ok` None: it could not be checked. `costs` is what a broken one makes of the verdict, and
    `figures` what it makes worthless.
    """

    name: str
    ok: bool | None
    measured: str
    limit: str
    reason: str
    remedy: str | None = None
    costs: Literal["invalid", "inconclusive"] = "invalid"
    figures: Figures = "all"


@dataclass(frozen=True, slots=True)
class Judged:
    """One judged thing as every report shows it: an objective, a check, a row of a gate.

    `outcome` None: not judged. `decides` False: shown, but no part of the verdict. `label` is a
    word shown in place of the outcome, `group` what the thing is one of, `seconds` how long it
    took. The other texts are for people.
    """

    name: str
    outcome: ResultWord
    statement: str
    wanted: str = ""
    measured: str = ""
    interval: str = ""
    group: str = ""
    label: str = ""
    decides: bool = True
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class RunVerdict:
    """The answer to one run; `reasons` are sentences, the weightiest first."""

    run: str
    service: str
    outcome: Outcome
    reasons: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0 pass, 1 fail, 3 inconclusive, 4 invalid."""
        return EXIT_CODES[self.outcome]

    def as_dict(self) -> dict[str, object]:
        """The file of it: `schema`, `exit_code` and every field by its name."""
        return {"schema": SCHEMA, "exit_code": self.exit_code, **asdict(self)}


@dataclass(frozen=True, slots=True)
class Verdict(RunVerdict):
    """The answer to one run; `reasons` are sentences, the weightiest first.

    `hold` is the judged stretch (begin, end) in seconds from the start, None when there was none.
    """

    objectives: tuple[ObjectiveResult, ...]
    validity: tuple[ValidityCheck, ...]
    hold: tuple[float, float] | None
    confidence: float = CONFIDENCE
    stages: tuple[StageResult, ...] = ()

    @property
    def valid(self) -> bool:
        """Whether no check makes the run invalid; only then may it become a baseline."""
        return self.spoilt is None

    @property
    def spoilt(self) -> str | None:
        """Why the run may not become a baseline nor be compared with one; None where it may."""
        broken = (c.reason for c in self.validity if c.ok is False and c.costs == "invalid")
        return next(broken, None)


V = TypeVar("V", bound=RunVerdict)


def read_verdict(path: Path, kind: type[V]) -> V:
    """A verdict from its file; RecordError for a damaged or newer one."""
    stored = read_object(path)
    check_schema(path, stored)
    stored = {key: value for key, value in stored.items() if key not in {"schema", "exit_code"}}
    try:
        return adapter(kind).validate_python(stored)
    except ValidationError as error:
        remedy = "`harness judge RUN` judges the record anew"
        raise RecordError(f"{path}: {first_problem(error)}", remedy) from None


def load_verdict(path: Path) -> Verdict | None:
    """The verdict in verdict.json, or None; RecordError for a damaged or newer one."""
    return read_verdict(path, Verdict) if path.is_file() else None
