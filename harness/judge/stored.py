"""The one verdict of a record: what its run said stands in the record and is repeated, not redone.

An experiment and a scaling test are judged by rules of their own. Their verdict is the record's,
whatever the objectives alone would say of a service that was broken or overloaded on purpose.
"""

from collections.abc import Mapping
from pathlib import Path

from harness.errors import UsageError
from harness.judge.experiment import ExperimentVerdict, judge_experiment
from harness.judge.model import Verdict, read_verdict
from harness.judge.scaling import ScalingVerdict
from harness.judge.verdict import judge
from harness.record.find import VERDICT_FILES
from harness.record.run import RunRecord
from harness.storage import write_json, writing

RecordVerdict = Verdict | ExperimentVerdict | ScalingVerdict

_KINDS: Mapping[str, type[RecordVerdict]] = {
    "experiment.json": ExperimentVerdict,
    "scaling.json": ScalingVerdict,
    "verdict.json": Verdict,
}


def stored_verdict(directory: Path) -> RecordVerdict | None:
    """The verdict in a record's directory, or None; RecordError for a damaged or newer one."""
    path = _file(directory)
    return None if path is None else read_verdict(path, _KINDS[path.name])


def judge_anew(record: RunRecord) -> Verdict | ExperimentVerdict:
    """The verdict of today's rules, not stored; raises UsageError for a scaling test."""
    path = _file(record.directory)
    name = path.name if path is not None else None
    if name == "experiment.json" or (name is None and "experiment" in record.labels):
        return judge_experiment(record)
    if name == "scaling.json":
        raise UsageError(
            f"{record.id} is a scaling test, whose limits are not in its record",
            "run `harness scale-test` again; `harness show` repeats its verdict",
        )
    return judge(record)


def keep_verdict(verdict: Verdict | ExperimentVerdict, directory: Path) -> Path | None:
    """Store a verdict, the one before beside it at the path returned. Raises RecordError."""
    name = "experiment.json" if isinstance(verdict, ExperimentVerdict) else "verdict.json"
    path, kept = directory / name, None
    if path.exists():
        kept = _free(path)
        with writing(directory):
            path.rename(kept)
    write_json(path, verdict.as_dict(), finite=False)
    return kept


def _free(path: Path) -> Path:
    """`verdict.1.json`, or the first number that is not taken."""
    number = 1
    while (other := path.with_suffix(f".{number}{path.suffix}")).exists():
        number += 1
    return other


def _file(directory: Path) -> Path | None:
    return next((path for name in VERDICT_FILES if (path := directory / name).is_file()), None)
