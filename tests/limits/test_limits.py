"""A rate limit that is as declared passes; each way in which it may not be is found."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from harness.catalog import load_catalog
from harness.catalog.load import project_root
from harness.catalog.model import RateLimit
from harness.cli import run as cli
from harness.errors import UsageError
from harness.limits import judge_limit
from harness.limits.client import measure, seconds_of
from harness.limits.model import KEYS, Answer, Asked, LimitVerdict

LIMIT = RateLimit(100, 60.0)
ASKED = Asked("http://gateway", "/", LIMIT, tuple(f"k{n}" for n in range(KEYS)))


@dataclass
class Gateway:
    """A gateway with windows of its own clock; each field is a way to be wrong."""

    limit: int = 100
    window_s: float = 60.0
    says: Callable[[float], str | None] = lambda left_s: str(int(left_s) + 1)
    shared: bool = False
    sliding: bool = False
    punishes: bool = False
    """A key that goes on while it is refused is refused for longer."""

    chokes: bool = False
    """It fails every other request that it should carry out, once half the limit is used."""

    refusal: int = 429
    now_s: float = 0.0
    took_s: float = 0.001
    seen: Counter[tuple[str, int]] = field(default_factory=Counter)
    log: dict[str, list[float]] = field(default_factory=dict)

    def ask(self, key: str) -> Answer:
        """The answer to the next request of this key."""
        self.now_s += self.took_s
        key = "" if self.shared else key
        window = int(self.now_s / self.window_s)
        if self.sliding:
            kept = [at for at in self.log.get(key, []) if at > self.now_s - self.window_s]
            left = kept[0] + self.window_s - self.now_s if kept else 0.0
            used = len(kept) + 1
            if used <= self.limit or self.punishes:
                kept.append(self.now_s)
            self.log[key] = kept
        else:
            self.seen[key, window] += 1
            used, left = self.seen[key, window], (window + 1) * self.window_s - self.now_s
        if self.chokes and self.limit / 2 < used <= self.limit and used % 2:
            return Answer(self.now_s, 503)
        if used <= self.limit:
            return Answer(self.now_s, 200)
        return Answer(self.now_s, self.refusal, self.says(left))

    def sleep(self, seconds: float) -> None:
        """Let the time pass."""
        self.now_s += seconds

    def verdict(self, declared: RateLimit = LIMIT) -> LimitVerdict:
        """What a measurement finds."""
        asked = replace(ASKED, limit=declared)
        found = measure(asked, self.ask, lambda: self.now_s, self.sleep)
        return judge_limit("memorai", declared, found)


def failed(verdict: LimitVerdict) -> set[str]:
    return {check.name for check in verdict.checks if check.outcome != "pass"}


@pytest.mark.parametrize("start_s", [0.0, 17.0, 59.7, 59.9])
@pytest.mark.parametrize("sliding", [False, True])
def test_a_sound_limit_passes_wherever_its_window_begins(start_s: float, *, sliding: bool) -> None:
    verdict = Gateway(now_s=start_s, sliding=sliding).verdict()
    assert (verdict.outcome, verdict.exit_code, failed(verdict)) == ("pass", 0, set())


@pytest.mark.parametrize("start_s", [0.0, 17.0, 59.9])
@pytest.mark.parametrize(
    ("broken", "found"),
    [
        ({"limit": 99}, {"limit"}),
        ({"limit": 101}, {"limit"}),
        ({"limit": 10**6}, {"limit", "Retry-After", "recovery"}),
        ({"says": lambda _: None}, {"Retry-After"}),
        ({"says": lambda _: "soon"}, {"Retry-After"}),
        ({"says": lambda left_s: str(int(1000 * left_s))}, {"Retry-After"}),
        ({"sliding": True, "punishes": True}, {"recovery"}),
        ({"chokes": True}, {"limit", "goodput at twice"}),
    ],
)
def test_what_is_wrong_with_a_limit_is_found(
    start_s: float, broken: dict[str, object], found: set[str]
) -> None:
    verdict = Gateway(now_s=start_s, **broken).verdict()  # type: ignore[arg-type]
    assert verdict.outcome == "fail"
    assert found <= failed(verdict)


def test_a_retry_after_that_is_too_early_is_found_unless_the_window_ends_just_then() -> None:
    assert failed(Gateway(says=lambda _: "1").verdict()) == {"recovery"}


def test_half_the_limit_is_half_the_goodput() -> None:
    assert failed(Gateway(limit=40).verdict()) == {"limit", "goodput at twice"}


def test_a_limit_that_all_keys_share_harms_the_others() -> None:
    verdict = Gateway(shared=True).verdict()
    assert "other keys" in failed(verdict)


def test_a_refusal_of_another_status_is_no_limit() -> None:
    assert {"limit", "Retry-After"} <= failed(Gateway(refusal=503).verdict())


def test_a_burst_that_is_too_slow_to_count_is_inconclusive() -> None:
    verdict = Gateway(took_s=0.5).verdict()
    assert verdict.checks[0].outcome == "inconclusive"
    assert "too slow" in verdict.checks[0].statement


def test_what_does_not_answer_well_in_the_first_place_is_not_judged() -> None:
    with pytest.raises(UsageError, match="answered with status 429"):
        Gateway(limit=0).verdict()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30", 30.0), (" 7 ", 7.0), (None, None), ("", None), ("-1", None), ("1.5", None)],
)
def test_retry_after_is_read_in_whole_seconds(text: str | None, seconds: float | None) -> None:
    assert seconds_of(text) == seconds


def test_every_service_declares_the_limit_of_the_gateway() -> None:
    services = load_catalog(project_root() / "services").services()
    assert {each.rate_limit for each in services} == {RateLimit(100, 60.0, "x-api-key")}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nobody"], "no service 'nobody'"),
        (["http://127.0.0.1:1/"], "no rate limit is declared"),
        (["memorai", "--window", "0.5s"], "at least 1s"),
        (["memorai", "--limit", "0"], "--limit"),
        (["memorai", "--keys", "/no/such/file"], "--keys"),
        (["memorai", "--keys", "/dev/zero"], "not a regular file"),
        (["memorai", "--path", "api"], "'api' is no path"),
        (["memorai", "--path", "/a b"], "is no path"),
        (["memorai", "--header", "a b"], "is no name of a header"),
    ],
)
def test_a_bad_word_is_one_line(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["limits", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "0 different keys"),
        (b"one " * KEYS, "1 different keys"),
        (b"\xff " * KEYS, "keys are ASCII"),
    ],
)
def test_keys_that_nobody_can_use_are_refused_before_anything_starts(
    content: bytes, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "keys").write_bytes(content)
    assert cli(["limits", "memorai", "--keys", str(tmp_path / "keys")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


@pytest.mark.lab
@pytest.mark.parametrize(("behaviour", "found"), [({}, set()), ({"rate_limit": 21}, {"limit"})])
def test_the_limit_of_the_reference_service_is_really_measured(
    behaviour: dict[str, object], found: set[str], tmp_path: Path
) -> None:
    words = ["limits", "memorai", "--limit", "20", "--window", "2s", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "harness", *words, "--behaviour", json.dumps(behaviour)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    told = json.loads(done.stdout)
    assert {c["name"] for c in told["checks"] if c["outcome"] != "pass"} == found
    assert done.returncode == (1 if found else 0)
