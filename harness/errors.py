"""The errors a user can cause, one root; every message names its remedy.

HarnessError                 exit code 2, one line, no traceback
├── UsageError               a wrong word on the command line
├── CatalogError             services/*.yaml
├── ScenarioError            scenarios/*.py
├── ProfileError             a load profile or a rate that cannot be
├── PlatformError            the lab, a cluster or a URL cannot do what was asked
│   ├── NoAnswer             nothing answers at the URL
│   ├── CapabilityMissing    this platform or kernel has no means for it
│   └── Gone                 the deployment is not there any more
├── RecordError              results/: unreadable, newer schema, no space
├── BaselineError            baselines/: refused or damaged
│   └── NoBaseline           none of the conditions asked for
├── DataError                a data file handed in for analysis
└── ExperimentError          experiments/*.yaml
Interrupted                  Ctrl-C, SIGTERM or a closed terminal; exit code 130, after cleaning up

Everything else that is raised is a defect of the harness: exit code 70.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

DEFECT = 70
"""EX_SOFTWARE of sysexits.h."""

EXIT_CODES: Mapping[int, str] = {
    0: "pass, or done",
    1: "fail: it was judged, and what it was judged against was missed",
    2: "usage: the input or the surroundings do not allow it; the message names the remedy",
    3: "inconclusive: judged, but too little is known",
    4: "invalid: the measurement cannot be trusted",
    5: "no baseline: nothing to compare with; the message has the command that makes one",
    DEFECT: "a defect of the harness: please report it with the file that the message names",
    130: "interrupted by Ctrl-C, SIGTERM or a closed terminal, after cleaning up",
    141: "the reader of standard output went away",
}
"""Of every command: what its exit code means."""


class HarnessError(Exception):
    """A fault of the input or the surroundings, told in one line with its remedy.

    `problem` names the file and the field; `remedy` says what to do about it.
    """

    exit_code = 2

    def __init__(self, problem: str, remedy: str | None = None) -> None:
        self.problem = problem
        self.remedy = remedy
        super().__init__(problem if remedy is None else f"{problem}; {remedy}")

    def __reduce__(self) -> tuple[type[HarnessError], tuple[str, str | None]]:
        return type(self), (self.problem, self.remedy)


class UsageError(HarnessError):
    """A wrong word on the command line."""


class CatalogError(HarnessError):
    """A service description that is missing or malformed."""


class ScenarioError(HarnessError):
    """A traffic model that cannot be loaded or makes no sense."""


class ProfileError(HarnessError):
    """A load profile, rate or duration that cannot be."""


class PlatformError(HarnessError):
    """The platform under test cannot do what was asked."""


class NoAnswer(PlatformError):  # noqa: N818 - reads as a statement where it is caught
    """Nothing answers where the service was said to be."""


class CapabilityMissing(PlatformError):  # noqa: N818 - reads as a statement where it is caught
    """This platform, kernel or account has no means for it."""


class Gone(PlatformError):  # noqa: N818 - what it is, not a fault
    """The deployment is not there any more, and every fault of it is gone as well."""


class RecordError(HarnessError):
    """A run record that cannot be written or read."""


class BaselineError(HarnessError):
    """A baseline that is missing or refuses the run."""


class NoBaseline(BaselineError):  # noqa: N818 - reads as a statement where it is caught
    """No accepted run has the conditions asked for."""


class DataError(HarnessError):
    """A data file that cannot be analysed."""


class ExperimentError(HarnessError):
    """A chaos experiment that cannot be loaded or makes no sense."""


class Interrupted(Exception):  # noqa: N818 - not a fault: the user's own wish
    """Ctrl-C or SIGTERM arrived; everything has been stopped."""

    exit_code = 130


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The start of a remedy that names what is most like a word; empty where nothing is."""
    from difflib import get_close_matches  # noqa: PLC0415 - for who misspelt only

    near = get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return f"did you mean {near[0]}? " if near else ""
