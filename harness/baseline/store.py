"""`baselines/<service>/<scenario>.json`: accepted runs, small, sorted, diffable."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from harness.baseline.document import check_name, locked, parse_baselines, read_text, write_groups
from harness.baseline.levels import kept_level
from harness.baseline.measure import conditions_of, measure
from harness.baseline.model import Acceptance, AcceptedRun, Baseline, Conditions
from harness.errors import BaselineError, NoBaseline
from harness.judge import Verdict, judge
from harness.record import RunRecord
from harness.storage import make_directory


@dataclass(frozen=True, slots=True)
class BaselineStore:
    """All baselines below one directory.

    One file holds a service's runs of one scenario, grouped by the conditions they were made
    under: a laptop and the CI machine each have a group of their own in it.
    """

    root: Path

    def path(self, service: str, scenario: str) -> Path:
        """The file of one service and scenario.

        Raises BaselineError for a name that is no file's, whoever gave it.
        """
        check_name("service", service, str(self.root))
        check_name("scenario", scenario, str(self.root))
        return self.root / service / f"{scenario}.json"

    def load(self, service: str, scenario: str) -> tuple[Baseline, ...]:
        """Every group of one file; empty when there is none.

        Raises BaselineError when the file is damaged or of a schema this harness does not know.
        """
        path = self.path(service, scenario)
        if not path.is_file():
            return ()
        groups = parse_baselines(read_text(path), str(path))
        for group in groups:
            if (group.service, group.scenario) != (service, scenario):
                raise BaselineError(
                    f"{path}: it holds a baseline of {group.service}/{group.scenario}",
                    "move it to the file of that name, or restore it from version control",
                )
        return groups

    def all(self, service: str | None = None) -> tuple[Baseline, ...]:
        """Every baseline, or those of one service, by name.

        Raises BaselineError for the first file that is damaged; `scan` gives the others as well.
        """
        found, damaged = self.scan(service)
        if damaged:
            raise damaged[0]
        return found

    def scan(
        self, service: str | None = None
    ) -> tuple[tuple[Baseline, ...], tuple[BaselineError, ...]]:
        """The same, and what is wrong with each file that cannot be read."""
        found: list[Baseline] = []
        damaged: list[BaselineError] = []
        for path in sorted(self.root.glob("*/*.json")):
            if service in {None, path.parent.name}:
                try:
                    found += self.load(path.parent.name, path.stem)
                except BaselineError as error:
                    damaged.append(error)
        return tuple(found), tuple(damaged)

    def matching(self, record: RunRecord) -> Baseline:
        """The group a run may be compared with.

        Raises NoBaseline when there is none, and says in which conditions the nearest differs.
        """
        scenario = record.plan.traffic.scenario
        return self.find(record.service.name, scenario, conditions_of(record), record.id)

    def comparable(
        self,
        service: str,
        scenario: str,
        wanted: Conditions,
        ignore: Collection[str] = (),
        what: str = "a run",
    ) -> Baseline:
        """Every accepted run that nothing known makes incomparable, each once, oldest first.

        `ignore` names fields of Conditions that may differ. The conditions returned are those of
        the group with the most runs. Raises NoBaseline when there is none, and lists what differs
        from the nearest.
        """
        groups = self.load(service, scenario)
        fitting = [g for g in groups if not wanted.differences(g.conditions, ignore)]
        if not fitting:
            return self.find(service, scenario, wanted, what)
        runs = {run.id: run for group in fitting for run in group.runs}
        largest = max(fitting, key=lambda group: len(group.runs))
        ordered = sorted(runs.values(), key=lambda run: (run.created, run.id))
        return replace(largest, runs=tuple(ordered))

    def find(
        self, service: str, scenario: str, wanted: Conditions, what: str = "a run"
    ) -> Baseline:
        """The group of these conditions; raises NoBaseline as `matching` does."""
        groups = self.load(service, scenario)
        for group in groups:
            if group.conditions == wanted:
                return group
        if not groups:
            raise NoBaseline(
                f"{self.path(service, scenario)}: no baseline yet",
                f"make one: harness baseline make {service}",
            )
        nearest = min(groups, key=lambda group: len(wanted.differences(group.conditions)))
        raise NoBaseline(
            f"{what} cannot be compared with the baseline in "
            f"{self.path(service, scenario)}: {'; '.join(wanted.differences(nearest.conditions))}",
            "run under the same conditions, or start a baseline for these: "
            "harness baseline accept --new",
        )

    def accept(
        self,
        records: Sequence[RunRecord],
        *,
        new: bool = False,
        even_failed: bool = False,
        label: str | None = None,
        acceptance: Acceptance | None = None,
    ) -> Baseline:
        """Add runs to the group of their conditions; `new` may start one.

        Raises BaselineError for a run that is invalid, partial, failed or inconclusive (unless
        `even_failed`), one that is there already, and one whose conditions no group has (unless
        `new`). Nothing is written then.
        """
        if not records:
            raise BaselineError("no run was named", "name one: harness baseline accept latest")
        service, scenario = records[0].service.name, records[0].plan.traffic.scenario
        path = self.path(service, scenario)
        entries = [_entry(one, label, acceptance, even_failed=even_failed) for one in records]
        make_directory(path.parent)
        with locked(path.parent):
            group: Baseline | None = None
            for record, entry in zip(records, entries, strict=True):
                if record.service.name != service:
                    raise BaselineError(
                        f"{record.id} is a run of {record.service.name}, the first of {service}",
                        "accept them separately",
                    )
                group = self._group(record, group, new=new)
                if any(run.id == record.id for run in group.runs):
                    raise BaselineError(f"{record.id} is in the baseline already", "leave it out")
                runs = sorted((*group.runs, entry), key=lambda run: run.id)
                group = replace(group, runs=tuple(runs))
            if group is None:
                raise AssertionError  # there is a record
            self._replace(group)
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
        groups = self.load(service, scenario)
        exact = any(g.conditions == wanted for g in groups)
        if not exact and (not groups or any(not wanted.differences(g.conditions) for g in groups)):
            return Baseline(service, scenario, wanted)  # its kin know less, and say nothing else
        return self.matching(record)

    def save(self, baseline: Baseline) -> None:
        """Replace the group of the same conditions, or add it; an empty group is removed."""
        directory = self.path(baseline.service, baseline.scenario).parent
        make_directory(directory)
        with locked(directory):
            self._replace(baseline)

    def _replace(self, baseline: Baseline) -> None:
        path = self.path(baseline.service, baseline.scenario)
        others = [
            group
            for group in self.load(baseline.service, baseline.scenario)
            if group.conditions != baseline.conditions
        ]
        write_groups(path, [*others, baseline])

    def drop(self, service: str, run_id: str, reason: str) -> Baseline:
        """Take one run out, with the reason kept in the file.

        Raises BaselineError when no baseline of the service has it.
        """
        with self._changing(service):
            group = self._having(service, run_id)
            kept = [run for run in group.runs if run.id != run_id]
            return self._keep(group, kept, {"reason": reason, "run": run_id})

    def prune(self, baseline: Baseline, keep: int) -> Baseline:
        """Keep only the latest `keep` runs of a group."""
        with self._changing(baseline.service):
            now = self.load(baseline.service, baseline.scenario)
            group = next((g for g in now if g.conditions == baseline.conditions), baseline)
            if len(group.runs) <= keep:
                return group
            note = {"reason": f"pruned to {keep}", "run": None}
            return self._keep(group, group.runs[-keep:], note | kept_level(group.runs[:-keep]))

    def cut(self, service: str, run_id: str, reason: str) -> Baseline:
        """Begin the baseline anew at an accepted change point; older runs leave it.

        The level that they had stays in the file. Raises BaselineError when no baseline of the
        service has the run, or it is the first.
        """
        with self._changing(service):
            group = self._having(service, run_id)
            kept = [run for run in group.runs if run.id >= run_id]
            if len(kept) == len(group.runs):
                raise BaselineError(
                    f"{run_id} is the first run already", "there is nothing to cut off"
                )
            note = {"reason": reason, "run": run_id}
            return self._keep(group, kept, note | kept_level(group.runs[: -len(kept)]))

    def _changing(self, service: str) -> AbstractContextManager[None]:
        check_name("service", service, str(self.root))
        directory = self.root / service
        return locked(directory) if directory.is_dir() else nullcontext()

    def _having(self, service: str, run_id: str) -> Baseline:
        found, damaged = self.scan(service)
        for group in found:
            if any(run.id == run_id for run in group.runs):
                return group
        if damaged:
            raise damaged[0]
        raise BaselineError(
            f"{service} has no accepted run {run_id}", f"see: harness baseline show {service}"
        )

    def _keep(
        self, group: Baseline, runs: Iterable[AcceptedRun], note: Mapping[str, object]
    ) -> Baseline:
        kept = tuple(runs)
        whole = dict(note) | {"left": len(kept), "had": len(group.runs)}
        changed = replace(group, runs=kept, notes=(*group.notes, whole))
        self._replace(changed)
        return changed


def _entry(
    record: RunRecord, label: str | None, acceptance: Acceptance | None, *, even_failed: bool
) -> AcceptedRun:
    """What the baseline keeps of a run; raises BaselineError for one that may not be in it."""
    verdict = refuse_unfit(record)
    if verdict.outcome != "pass" and not even_failed:
        why = f": {verdict.reasons[0]}" if verdict.reasons else ""
        raise BaselineError(
            f"{record.id} did not pass ({verdict.outcome}){why}",
            "mend the cause and run again, or accept it knowingly with --even-failed",
        )
    entry = replace(measure(record), outcome=verdict.outcome, acceptance=acceptance)
    return entry if label is None else replace(entry, label=label)


def refuse_unfit(record: RunRecord) -> Verdict:
    """The verdict on a run that is complete and whose measurement can be trusted.

    Raises BaselineError for any other.
    """
    if record.status != "complete":
        raise BaselineError(
            f"{record.id} is {record.status}", "only a complete run can become a baseline"
        )
    verdict = judge(record, record.service)
    if verdict.spoilt is not None:
        raise BaselineError(
            f"{record.id} is invalid: {verdict.spoilt}",
            "an invalid run cannot become a baseline; mend the cause and run again",
        )
    return verdict


def same_conditions(records: Sequence[RunRecord], ignore: Collection[str] = ()) -> Conditions:
    """The conditions that all runs share, but for the fields in `ignore`.

    Raises BaselineError naming the first run that differs, and in what.
    """
    first = conditions_of(records[0])
    for record in records[1:]:
        if differences := first.differences(conditions_of(record), ignore):
            raise BaselineError(
                f"{record.id} was made under other conditions: {'; '.join(differences)}",
                "compare runs of one machine, profile and mix",
            )
    return first
