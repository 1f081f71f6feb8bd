"""What makes a Chaos Toolkit file one that can run: its own rules, and what it lets pass.

Chaos Toolkit goes on without a control that it cannot load, without a secret that it cannot read,
and without rollbacks where their strategy is misspelt. Here each is refused, and named.
"""

import copy
import importlib
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from harness.chaos.method import ACTIONS, all_activities, has_signature
from harness.errors import ExperimentError, did_you_mean
from harness.toolkit import Document, steady_strategy

STEADY_STRATEGIES = (
    "default",
    "before-method-only",
    "after-method-only",
    "during-method-only",
    "continuously",
    "skip",
)
ROLLBACK_STRATEGIES = ("default", "always", "never", "deviated")
DRY = ("activities", "actions", "probes", "pause")
VAULT_CLIENT = "hvac"
_SEE = "see: chaos validate"


def validate(path: Path, document: Document) -> None:
    """Raise ExperimentError, naming the field, where a document cannot run as it is meant to."""
    from chaoslib.exceptions import ChaosException  # noqa: PLC0415 - slow to import
    from chaoslib.experiment import ensure_experiment_is_valid  # noqa: PLC0415

    checked = copy.deepcopy(document)
    try:
        _check_secrets(path, document.get("secrets") or {}, "secrets")
        _check_controls(path, document)  # before Chaos Toolkit, which would say that it goes on
        for activity in all_activities(checked):
            provider = activity.get("provider") or {}
            if provider.get("type") == "python" and not has_signature(provider):
                provider.update(
                    {"module": ACTIONS, "func": "heal", "arguments": {}}
                )  # nothing to bind
        ensure_experiment_is_valid(checked)
        _check_words(path, document)
        _check_references(path, document)
    except ExperimentError:
        raise
    except ChaosException as problem:
        raise ExperimentError(f"{path}: {' '.join(str(problem).split())}", _SEE) from None
    except (TypeError, AttributeError, KeyError) as problem:
        raise ExperimentError(f"{path}: not a Chaos Toolkit experiment ({problem})", _SEE) from None
    except Exception as problem:  # noqa: BLE001 - whatever a module of the file, or a vault, raises
        raise ExperimentError(
            f"{path}: it cannot be read as an experiment ({type(problem).__name__}: {problem})",
            _SEE,
        ) from None


def _check_secrets(path: Path, given: object, where: str) -> None:
    """Without a client, Chaos Toolkit takes a secret of a vault for an empty one."""
    if not isinstance(given, dict):
        return
    kind = given.get("type")
    if isinstance(kind, str) and not {"key", "path"}.isdisjoint(given):
        if kind not in {"env", "vault"}:
            raise ExperimentError(
                f"{path}: {where}: type {kind!r} is not known here", "give a value, or type env"
            )
        if kind == "vault" and find_spec(VAULT_CLIENT) is None:
            raise ExperimentError(
                f"{path}: {where}: type 'vault' needs the package {VAULT_CLIENT}",
                f"install {VAULT_CLIENT} beside the harness, or give type env",
            )
        if kind == "vault" and "path" not in given:
            raise ExperimentError(f"{path}: {where}: type 'vault' without path", "give its path")
        return
    for key, value in given.items():
        _check_secrets(path, value, f"{where}.{key}")


def _check_controls(path: Path, document: Document) -> None:
    """What a control that cannot be loaded would guard is unguarded."""
    hypothesis = document.get("steady-state-hypothesis") or {}
    for part in (document, hypothesis, *all_activities(document)):
        for control in part.get("controls") or ():
            module = (control.get("provider") or {}).get("module")
            try:
                if module is not None:
                    importlib.import_module(module)
            except Exception as problem:  # noqa: BLE001 - whatever its import raises
                raise ExperimentError(
                    f"{path}: control {control.get('name')!r} cannot be loaded: {problem}",
                    f"install {module}, or leave the control out",
                ) from None


def _check_words(path: Path, document: Document) -> None:
    """Strategies and dry runs by a word that Chaos Toolkit knows."""
    rollbacks = ((document.get("runtime") or {}).get("rollbacks") or {}).get("strategy")
    for field, word, known in (
        ("runtime.hypothesis.strategy", steady_strategy(document), STEADY_STRATEGIES),
        ("runtime.rollbacks.strategy", rollbacks, ROLLBACK_STRATEGIES),
        *(("dry", word, DRY) for word in _dry_words(document)),
    ):
        if word and word not in known:
            raise ExperimentError(f"{path}: {field} is {word!r}", _one_of(word, known))


def _dry_words(document: Document) -> Iterator[object]:
    yield document.get("dry")
    for activity in all_activities(document):
        yield activity.get("dry")


def _one_of(word: object, known: Sequence[str]) -> str:
    return f"{did_you_mean(str(word), known)}give one of {', '.join(known)}"


def _check_references(path: Path, document: Document) -> None:
    """Chaos Toolkit itself looks at those of the method only."""
    named = {activity.get("name") for activity in all_activities(document)}
    for step in document.get("rollbacks") or ():
        reference = step.get("ref")
        if reference is not None and reference not in named:
            raise ExperimentError(
                f"{path}: rollbacks refer to {reference!r}, which is no activity",
                "give the name of one",
            )
