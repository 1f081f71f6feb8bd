"""`baselines/<service>/<scenario>.json`: accepted runs, small, sorted, diffable."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from harness.baseline.measure import conditions_of, measure
from harness.baseline.model import SCHEMA, AcceptedRun, Baseline, Conditions
from harness.errors import BaselineError
from harness.judge import judge
from harness.record import RunRecord, make_directory, write_atomic

_BASELINES = TypeAdapter(tuple[Baseline, ...])


@dataclass(frozen=True, slots=True)
class BaselineStore:
    """All baselines below one directory.

    One file holds a service's runs of one scenario, grouped by the conditions they were made
    under: a laptop and the CI machine each have a group of their own in it.
    """

    root: Path

    def path(self, service: str, scenario: str) -> Path:
        """The file of one service and scenario."""
        return self.root / service / f"{scenario}.json"

    def load(self, service: str, scenario: str) -> tuple[Baseline, ...]:
        """Every group of one file; empty when there is none.

        Raises BaselineError when the file is damaged or of a schema this harness does not know.
        """
        path = self.path(service, scenario)
        if not path.is_file():
            return ()
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            schema = document["schema"]
            groups = document["baselines"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BaselineError(
                f"{path}: not a baseline file ({error})", "restore it from version control"
            ) from None
        if schema != SCHEMA:
            raise BaselineError(
                f"{path}: schema {schema!r}, this harness knows {SCHEMA}", "update the harness"
            )
        try:
            return _BASELINES.validate_python(groups)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            raise BaselineError(
                f"{path}: {field}: {first['msg']}", "restore it from version control"
            ) from None

    def all(self, service: str | None = None) -> tuple[Baseline, ...]:
        """Every baseline, or those of one service, by name."""
        return tuple(
            group
            for path in sorted(self.root.glob("*/*.json"))
            if service in {None, path.parent.name}
            for group in self.load(path.parent.name, path.stem)
        )

    def matching(self, record: RunRecord) -> Baseline:
        """The group a run may be compared with.

        Raises BaselineError when there is none, and says in which conditions the nearest differs.
        """
        scenario = record.plan.traffic.scenario
        return self.find(record.service.name, scenario, conditions_of(record), record.id)

    def find(
        self, service: str, scenario: str, wanted: Conditions, what: str = "a run"
    ) -> Baseline:
        """The group of these conditions; raises BaselineError as `matching` does."""
        groups = self.load(service, scenario)
        for group in groups:
            if group.conditions == wanted:
                return group
        if not groups:
            raise BaselineError(
                f"{self.path(service, scenario)}: no baseline yet",
                f"make one: harness baseline make {service}",
            )
        nearest = min(groups, key=lambda group: len(wanted.differences(group.conditions)))
        raise BaselineError(
            f"{what} cannot be compared with the baseline in "
            f"{self.path(service, scenario)}: {'; '.join(wanted.differences(nearest.conditions))}",
            "run under the same conditions, or start a baseline for these: "
            "harness baseline accept --new",
        )

    def accept(
        self, records: Sequence[RunRecord], *, new: bool = False, label: str | None = None
    ) -> Baseline:
        """Add runs to the group of their conditions; `new` may start one.

        Raises BaselineError for an invalid, partial or failed run, one that is there already,
        and one whose conditions no group has (unless `new`). Nothing is written then.
        """
        group: Baseline | None = None
        for record in records:
            refuse_unfit(record)
            group = self._group(record, group, new=new)
            if any(run.id == record.id for run in group.runs):
                raise BaselineError(f"{record.id} is in the baseline already", "leave it out")
            accepted = measure(record)
            if label is not None:
                accepted = replace(accepted, label=label)
            runs = sorted((*group.runs, accepted), key=lambda run: run.id)
            group = replace(group, runs=tuple(runs))
        if group is None:
            raise BaselineError("no run was named", "name one: harness baseline accept latest")
        self.save(group)
        return group

    def _group(self, record: RunRecord, group: Baseline | None, *, new: bool) -> Baseline:
        wanted = conditions_of(record)
        if group is not None and group.conditions == wanted:
            return group
        if group is not None:
            raise BaselineError(
                f"{record.id} was made under other conditions than the runs before it: "
                f"{'; '.join(wanted.differences(group.conditions))}",
                "accept them separately",
            )
        service, scenario = record.service.name, record.plan.traffic.scenario
        if new and all(g.conditions != wanted for g in self.load(service, scenario)):
            return Baseline(service, scenario, wanted)
        if not self.load(service, scenario):
            return Baseline(service, scenario, wanted)
        return self.matching(record)

    def save(self, baseline: Baseline) -> None:
        """Replace the group of the same conditions, or add it; an empty group is removed."""
        groups = [
            group
            for group in self.load(baseline.service, baseline.scenario)
            if group.conditions != baseline.conditions
        ]
        if baseline.runs:
            groups.append(baseline)
        path = self.path(baseline.service, baseline.scenario)
        if not groups:
            path.unlink(missing_ok=True)
            return
        groups.sort(key=lambda group: dataclasses.astuple(group.conditions))
        make_directory(path.parent)
        document = {
            "schema": SCHEMA,
            "baselines": [dataclasses.asdict(group) for group in groups],
        }
        write_atomic(path, json.dumps(document, indent=1, sort_keys=True, default=_plain) + "\n")

    def drop(self, service: str, run_id: str, reason: str) -> Baseline:
        """Take one run out, with the reason kept in the file.

        Raises BaselineError when no baseline of the service has it.
        """
        group = self._having(service, run_id)
        return self._keep(group, [r for r in group.runs if r.id != run_id], reason, run_id)

    def prune(self, baseline: Baseline, keep: int) -> Baseline:
        """Keep only the latest `keep` runs of a group."""
        return self._keep(baseline, list(baseline.runs[-keep:]), f"pruned to {keep}", None)

    def cut(self, service: str, run_id: str, reason: str) -> Baseline:
        """Begin the baseline anew at an accepted change point; older runs leave it.

        Raises BaselineError when no baseline of the service has the run, or it is the first.
        """
        group = self._having(service, run_id)
        kept = [run for run in group.runs if run.id >= run_id]
        if len(kept) == len(group.runs):
            raise BaselineError(f"{run_id} is the first run already", "there is nothing to cut off")
        return self._keep(group, kept, reason, run_id)

    def _having(self, service: str, run_id: str) -> Baseline:
        for group in self.all(service):
            if any(run.id == run_id for run in group.runs):
                return group
        raise BaselineError(
            f"{service} has no accepted run {run_id}", f"see: harness baseline show {service}"
        )

    def _keep(
        self, group: Baseline, runs: list[AcceptedRun], reason: str, run: str | None
    ) -> Baseline:
        note = {"reason": reason, "run": run, "left": len(runs), "had": len(group.runs)}
        changed = replace(group, runs=tuple(runs), notes=(*group.notes, note))
        self.save(changed)
        return changed


def refuse_unfit(record: RunRecord) -> None:
    """Raise BaselineError unless the run is complete and its measurement can be trusted."""
    if record.status != "complete":
        raise BaselineError(
            f"{record.id} is {record.status}", "only a complete run can become a baseline"
        )
    verdict = judge(record, record.service)
    if not verdict.valid:
        raise BaselineError(
            f"{record.id} is invalid: {verdict.reasons[0] if verdict.reasons else 'no reason'}",
            "an invalid run cannot become a baseline; mend the cause and run again",
        )


def same_conditions(records: Sequence[RunRecord]) -> Conditions:
    """The conditions that all runs share.

    Raises BaselineError naming the first run that differs, and in what.
    """
    first = conditions_of(records[0])
    for record in records[1:]:
        differences = first.differences(conditions_of(record))
        if differences:
            raise BaselineError(
                f"{record.id} was made under other conditions: {'; '.join(differences)}",
                "compare runs of one machine, profile and mix",
            )
    return first


def _plain(value: Any) -> Any:
    return dict(value)
