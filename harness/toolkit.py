"""The documents of Chaos Toolkit as its library has validated them: experiments and journals.

Only what the harness reads has a field here; null stands for what is left out.
"""

from pathlib import Path
from typing import TypedDict, cast

from harness.errors import RecordError
from harness.storage import read_object
from harness.typed import problem_of

HTTP_ERROR = 400
"""The first status of HTTP that says that something is wrong."""


class Provider(TypedDict, total=False):
    """What carries an activity out."""

    type: str
    module: str
    func: str
    arguments: object
    timeout: object
    path: str
    url: str
    headers: object
    secrets: object


class Control(TypedDict, total=False):
    """What is called around activities."""

    name: str
    provider: Provider | None


class Pauses(TypedDict, total=False):
    """Seconds to wait before and after an activity."""

    before: object
    after: object


class Activity(TypedDict, total=False):
    """An action or a probe."""

    name: str
    type: str
    provider: Provider
    tolerance: object
    pauses: dict[str, object] | None
    background: object
    controls: list[Control] | None
    timeout: object
    dry: object
    ref: str | None


class Rollbacks(TypedDict, total=False):
    """When the rollbacks run."""

    strategy: str | None


class WhenChecked(TypedDict, total=False):
    """When the steady state is checked."""

    strategy: str | None


class Runtime(TypedDict, total=False):
    """How Chaos Toolkit runs an experiment."""

    rollbacks: Rollbacks | None
    hypothesis: WhenChecked | None


class Hypothesis(TypedDict, total=False):
    """The steady state."""

    probes: list[Activity] | None
    controls: list[Control] | None


Document = TypedDict(
    "Document",
    {
        "title": object,
        "description": object,
        "configuration": "dict[str, object] | None",
        "secrets": "dict[str, object] | None",
        "steady-state-hypothesis": "Hypothesis | None",
        "method": "list[Activity]",
        "rollbacks": "list[Activity] | None",
        "controls": "list[Control] | None",
        "extensions": "list[dict[str, object]] | None",
        "runtime": "Runtime | None",
        "tags": "list[str] | str | None",
        "dry": object,
    },
    total=False,
)
"""An experiment."""


def steady_strategy(document: Document) -> str | None:
    """When the file asks for its steady state to be checked; None: it does not say."""
    asked = ((document.get("runtime") or {}).get("hypothesis") or {}).get("strategy")
    return "continuously" if asked == "continously" else asked  # an older spelling is accepted


def rollback_strategy(document: Document) -> str | None:
    """When the file asks for its rollbacks to run; None: it does not say."""
    return ((document.get("runtime") or {}).get("rollbacks") or {}).get("strategy")


class Run(TypedDict, total=False):
    """What became of an activity."""

    activity: Activity
    status: str
    output: object
    exception: list[str] | None
    tolerance_met: bool


class State(TypedDict, total=False):
    """The steady state once it was checked."""

    steady_state_met: bool | None
    probes: list[Run] | None


class States(TypedDict, total=False):
    """The steady state over an experiment."""

    before: State | None
    during: list[State] | None
    after: State | None


class Journal(TypedDict, total=False):
    """What Chaos Toolkit has done; empty where it left none."""

    status: str
    deviated: bool
    experiment: Document | None
    run: list[Run] | None
    rollbacks: list[Run] | None
    steady_states: States | None


def journal_at(path: Path) -> Journal:
    """The journal in a file, empty where there is none. Raises RecordError where it is damaged."""
    found = read_object(path) if path.is_file() else {}
    if problem := problem_of(found, Journal):
        raise RecordError(f"{path}: a journal {problem}", "the record is damaged")
    return cast("Journal", found)
