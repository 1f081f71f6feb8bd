"""How the experiment itself went: its activities, its steady state, its undo.

What Chaos Toolkit could not carry out is named; what is said of the service is then in doubt.
"""

import json
from collections.abc import Iterable, Mapping, Sequence

from harness.events import Activity as ActivityEvent
from harness.events import Chaos, ChaosChild, Stage
from harness.judge.experiment.facts import BackAgain, Facts, back_again, injected, was_healed
from harness.judge.experiment.model import Check, Made, Word
from harness.judge.failover import starved
from harness.record.run import RunRecord
from harness.toolkit import (
    HTTP_ERROR,
    Activity,
    Document,
    Journal,
    Provider,
    Run,
    State,
    States,
    rollback_strategy,
    steady_strategy,
)
from harness.units import counted, format_duration, one_line

ACTIONS = "harness.chaos.actions"
LONGEST = 120
"""Characters of a value that is shown."""

_FAILED = "ActivityFailed: "

_TOO_SLOW = ("it did not end within", "it could not be asked within")
"""What is said of a probe that this machine may have been too busy to ask (harness.chaos)."""

Problem = tuple[Word, str]


def activities(
    journal: Journal,
    begun: Sequence[ActivityEvent],
    said: Sequence[ChaosChild],
    *,
    aborted: bool = False,
    refused: Sequence[str] = (),
) -> Check:
    """Whether every activity of the method and of the rollbacks was carried out.

    `begun` are the record's events of activities, `said` those of the process that ran them;
    `aborted`: the harness ended the experiment, which is named elsewhere, as are the injections
    that were `refused`, by whatever function of the file's own.
    """
    runs = [*(journal.get("run") or ()), *(journal.get("rollbacks") or ())]
    own = [run for run in runs if not any(text in reason_of(run) for text in refused)]
    found = [problem for run in own if (problem := _problem(run, aborted=aborted)) is not None]
    found += [("inconclusive", text) for run in own if (text := _left_out(run)) is not None]
    if not journal:
        found += [("inconclusive", text) for text in _unended(begun)]
    found += [
        ("inconclusive", f"The control `{e.get('name')}` failed: {e.get('detail')}.")
        for e in said
        if e.get("what") == "control"
    ]
    if not aborted and (why := _interrupted(journal, said)) is not None:
        found.append(("inconclusive", why))
    if dry := _dry(journal):
        found.append(("inconclusive", f"It was a dry run ({dry}): not all of it was carried out."))
    if not found:
        done = counted(len(own), "activity", "activities")
        told = f"{done} carried out.{_not_undone(journal)}"
        return Check("activities", "pass" if own else None, done, "all", told)
    word: Word = "fail" if any(each == "fail" for each, _ in found) else "inconclusive"
    if any(each == "inconclusive" for each, _ in found):
        word = "inconclusive"
    texts = tuple(dict.fromkeys(one_line(text) for _, text in found))
    told = " ".join(texts) + _not_undone(journal)
    return Check("activities", word, f"{len(texts)} not as asked", "all", told)


def acts_alone(activity: Activity) -> str | None:
    """An action of one of Chaos Toolkit's extensions (`chaos…`), in words; None: it is none."""
    provider = activity.get("provider") or {}
    module = str(provider.get("module", ""))
    if activity.get("type") != "action" or not module.startswith("chaos"):
        return None
    return f"`{activity.get('name')}` ({module}.{provider.get('func')})"


def who_undoes(document: Document) -> str:
    """Who undoes what actions of extensions have done: no ledger knows of them."""
    strategy = rollback_strategy(document)
    providers = [step.get("provider") or {} for step in document.get("rollbacks") or ()]
    if strategy == "never" or all(each.get("module") == ACTIONS for each in providers):
        return "nothing undoes"
    return "only the file's own rollbacks undo"


def _dry(journal: Journal) -> str:
    """What a dry run leaves out; Chaos Toolkit's own type for it is stored by its name."""
    return _word_of_dry((journal.get("experiment") or {}).get("dry"))


def _word_of_dry(asked: object) -> str:
    return str(asked or "").rpartition(".")[2].lower()


def _not_undone(journal: Journal) -> str:
    """What nothing of the harness undoes, by name and by what it says that it has hit."""
    if _dry(journal):
        return ""
    found = [_with_targets(run) for run in journal.get("run") or ()]
    names = ", ".join(dict.fromkeys(each for each in found if each))
    who = who_undoes(journal.get("experiment") or {})
    return f" {who[0].upper()}{who[1:]} what was done by {names}." if names else ""


def _with_targets(run: Run) -> str | None:
    name, output = acts_alone(run.get("activity") or {}), run.get("output")
    if name is None or not isinstance(output, list):
        return name
    hit = [each for each in output if isinstance(each, str)]
    return f"{name} on {', '.join(hit)}" if hit else name


def _left_out(run: Run) -> str | None:
    """What a dry run of a single activity leaves out, in a sentence."""
    activity = run.get("activity") or {}
    kind, dry = str(activity.get("type", "activity")), _word_of_dry(activity.get("dry"))
    if dry not in {"activities", "pause", f"{kind}s"}:
        return None
    return f"{kind.capitalize()} `{activity.get('name')}` was a dry run ({dry})."


def _problem(run: Run, *, aborted: bool) -> Problem | None:
    activity, output = run.get("activity") or {}, run.get("output")
    provider = activity.get("provider") or {}
    what = f"{str(activity.get('type', 'activity')).capitalize()} `{activity.get('name')}`"
    if provider.get("module") == ACTIONS:
        return None  # an injection or a heal has events of its own
    status = run.get("status")
    if status is None:
        return None if aborted else ("inconclusive", f"{what} had not ended at the end.")
    if status == "failed":
        return "inconclusive", f"{what} failed: {reason_of(run)}."
    if run.get("tolerance_met") is False:
        given = f"{what} gave {shown(output)}, outside its tolerance {shown(activity['tolerance'])}"
        return "fail", f"{given}."
    if output == [] and acts_alone(activity):
        return "inconclusive", f"{what} matched nothing."
    told = None if "tolerance" in activity else _told_by_status(provider, output)
    return None if told is None else ("inconclusive", f"{what} {told}.")


def _told_by_status(provider: Provider, output: object) -> str | None:
    """What an exit code or an HTTP status says that no tolerance was given for."""
    code = output.get("status") if isinstance(output, Mapping) else None
    if provider.get("type") == "process" and code not in {0, None} and isinstance(output, Mapping):
        last = str(output.get("stderr") or output.get("stdout") or "").strip().splitlines()[-1:]
        return f"ended with exit code {code}" + (f": {last[0]}" if last else "")
    if provider.get("type") == "http" and isinstance(code, int) and code >= HTTP_ERROR:
        return f"was answered with status {code}"
    return None


def reason_of(run: Run) -> str:
    """The last line of an activity's exception."""
    lines = [each.strip() for each in run.get("exception") or () if each.strip()]
    return lines[-1].rpartition(_FAILED)[2].rstrip(".") if lines else "no reason was given"


def shown(value: object) -> str:
    """A value as JSON, cut to a readable length."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return one_line(text if len(text) <= LONGEST else f"{text[:LONGEST]}…")


def _unended(begun: Sequence[ActivityEvent]) -> Iterable[str]:
    ended = [e.get("name") for e in begun if e.get("what") == "end"]
    for event in begun:
        name = event.get("name")
        if event.get("what") == "begin" and name not in ended:
            yield f"Activity `{name}` had not ended when Chaos Toolkit did."


def _interrupted(journal: Journal, said: Sequence[ChaosChild]) -> str | None:
    if journal.get("status") not in {"interrupted", "aborted"}:
        return None
    details = [str(e["detail"]) for e in said if e.get("what") == "interrupted" and e.get("detail")]
    why = f": {details[-1]}" if details else ""
    return f"The experiment was {journal['status']} before its end{why}."


def unmet(state: State) -> tuple[Word, str]:
    """Which probe did not hold: one that could not be asked is a doubt, not the service's fault.

    An HTTP probe that gets no answer has asked the service.
    """
    for run in state.get("probes") or ():
        activity = run.get("activity") or {}
        name, provider = activity.get("name"), activity.get("provider") or {}
        if run.get("status") == "failed":
            word: Word = "fail" if provider.get("type") == "http" else "inconclusive"
            return word, one_line(f"probe `{name}` failed: {reason_of(run)}")
        if run.get("tolerance_met") is False:
            wanted = shown(activity.get("tolerance"))
            return "fail", f"probe `{name}` gave {shown(run.get('output'))}, not {wanted}"
    return "fail", "no probe was named"


def steady_state(facts: Facts) -> Made:
    """Chaos Toolkit's own hypothesis before and after, by what its probes said."""
    word, measured, limit, told = judge_steady_state(facts.journal)
    busy = word == "inconclusive" and any(text in told for text in _TOO_SLOW)
    busy |= word == "fail" and starved(facts.record, facts.stages.heal, facts.stages.end)
    return "noisy" if busy else word, measured, limit, told


def judge_steady_state(journal: Journal) -> Made:
    """The hypothesis before and after the method; a state that was never checked is a doubt.

    Where the file asks for another strategy of Chaos Toolkit, by what that one checks.
    """
    states, document = journal.get("steady_states") or {}, journal.get("experiment") or {}
    before, after = states.get("before"), states.get("after")
    during = [(state or {}).get("steady_state_met") for state in states.get("during") or ()]
    share = f"{sum(met is True for met in during)} of {len(during)} times during"
    often = f" ({share})" if during else ""
    asked = steady_strategy(document)
    if asked == "skip":
        return None, "skipped", "met", "The file skips its steady state."
    word: Word
    if asked == "during-method-only" and during:
        word = "pass" if all(during) else "fail"
        return word, share, "met", f"The steady state held {share}; the file asks for no other."
    if (doubt := _not_judged(states, document)) is not None:
        return doubt
    if after is not None and after.get("steady_state_met") is False:
        word, why = unmet(after)
        told = f"The steady state did not hold after the heal{often}: {why}."
        return word, "not after", "met", told
    when = "before and after" if before is not None else "after"
    return "pass", "met", "met", f"The steady state held {when} the fault{often}."


def _not_judged(states: States, document: Document) -> Made | None:
    """What keeps the steady state from being judged; None: nothing does."""
    before, after = states.get("before"), states.get("after")
    only_after = steady_strategy(document) == "after-method-only" and after is not None
    if before is None and not only_after:
        if (document.get("steady-state-hypothesis") or {}).get("probes"):
            return "inconclusive", "never", "met", "The steady state was never checked."
        return None, "unknown", "met", "There is no steady state to check."
    if before is not None and not before.get("steady_state_met"):
        told = f"The steady state did not hold before the fault: {unmet(before)[1]}."
        return "inconclusive", "not before", "met", told
    if after is None:
        told = f"The steady state was not checked after the fault{_unasked(states)}."
        return "inconclusive", "not after", "met", told
    return None


def _unasked(states: States) -> str:
    """Which probe could not be asked meanwhile."""
    for state in reversed(states.get("during") or ()):
        if state and any(run.get("status") == "failed" for run in state.get("probes") or ()):
            return f": {unmet(state)[1]}"
    return ""


def undone(record: RunRecord) -> tuple[Check, ...]:
    """Whether every fault was undone with proof, at once, and for good."""
    if back := back_again(record):
        told = " ".join(map(_left_behind, back))
        return (Check("undone", "fail", "in effect again", "undone", told),)
    failed = [e for e in record.of(Chaos) if e["what"] == "heal_failed"]
    if not was_healed(record) or failed:
        why = str(failed[-1].get("detail")) if failed else "no heal was recorded"
        if was_healed(record):
            why = f"only after another try: {why}"
        return (
            Check("undone", "fail", "not at once", "undone", f"The heal did not undo it: {why}."),
        )
    if not record.of(Stage) or not injected(record):
        return ()
    return (Check("undone", "pass", "proven", "undone", "The fault was undone, with proof."),)


def _left_behind(found: BackAgain) -> str:
    """An undo that reported a success, and the fault is there all the same."""
    end = "it was undone once more" if found.gone else "it is left behind"
    after = format_duration(found.after_s)
    return (
        f"{found.kind} was in effect again {after} after its undo had reported success "
        f"({found.statement}); {end}."
    )
