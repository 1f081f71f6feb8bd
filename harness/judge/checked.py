"""A verdict that is made of checks: the worst of them is its word."""

from dataclasses import asdict, dataclass

from harness.judge.experiment import Check
from harness.judge.model import EXIT_CODES, PRIORITY, Outcome


@dataclass(frozen=True, slots=True)
class Checked:
    """What was checked of a service."""

    service: str
    checks: tuple[Check, ...]

    @property
    def outcome(self) -> Outcome:
        """The worst word."""
        words = {check.outcome for check in self.checks}
        return next((word for word in PRIORITY if word in words), "inconclusive")

    @property
    def exit_code(self) -> int:
        """0 pass, 1 fail, 3 inconclusive."""
        return EXIT_CODES[self.outcome]

    def as_dict(self) -> dict[str, object]:
        """The verdict as JSON."""
        return {**asdict(self), "outcome": self.outcome, "exit_code": self.exit_code}
