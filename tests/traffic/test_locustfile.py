"""An ordinary locustfile as a model: what would not run is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.catalog import load_catalog
from harness.catalog.model import Service
from harness.errors import PlatformError, ProfileError, ScenarioError
from harness.load.plan import check_target
from harness.platform.model import Target
from harness.session.options import RunOptions, for_users, make_profile
from harness.traffic.build import to_engine
from harness.traffic.locustfile import locustfile_model
from harness.traffic.model import Journey, Shape, TrafficModel
from harness.traffic.profiles import resolve_profile, shaped
from harness.traffic.scenario import load_model

MODEL = TrafficModel("shop", "x", "x.py", (), (Journey("U", "U"),), locustfile=True)

LOCUSTFILE = """
from locust import FastHttpUser, HttpUser, events, task

class Base(HttpUser):
    abstract = True

class Shopper(Base):
    weight = 3

    @task
    def browse(self): ...

class Quick(FastHttpUser):
    @task
    def browse(self): ...
"""


def _user(name: str = "U", weight: float = 1, tasks: Any = (1,)) -> type[Any]:
    return type(name, (), {"weight": weight, "fixed_count": 0, "tasks": tasks})


@pytest.fixture
def memorai() -> Service:
    return load_catalog().service("memorai")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "locustfile.py"
    found.write_text("")
    return found


def test_its_classes_are_the_journeys_and_any_service_can_be_driven(
    memorai: Service, tmp_path: Path
) -> None:
    """Bases are left out; the service is the one that was asked for."""
    file = tmp_path / "locustfile.py"
    file.write_text(LOCUSTFILE)
    model = load_model(memorai, str(file), tmp_path)
    assert model.locustfile
    assert model.service == "memorai"
    assert [(each.name, each.weight) for each in model.journeys] == [("Shopper", 3), ("Quick", 1)]
    assert to_engine(model, resolve_profile(users=3))["arrivals"]["kind"] == "closed"
    with pytest.raises(ProfileError, match="no arrival rate can be offered"):
        to_engine(model, resolve_profile())
    file.write_text(LOCUSTFILE + "events.quitting.add_listener(lambda **_: None)")
    with pytest.raises(ScenarioError, match=r"events\.quitting would never be called"):
        load_model(memorai, str(file), tmp_path)
    ours = "from harness.traffic.user import TrafficUser\nclass T(TrafficUser): ...\n"
    file.write_text(LOCUSTFILE + ours)
    with pytest.raises(ScenarioError, match="found T, Shopper, Quick"):
        load_model(memorai, str(file), tmp_path)


@pytest.mark.parametrize(
    ("users", "problem"),
    [
        ((_user(tasks=()),), "U has no tasks"),
        ((_user(weight=0),), "every user class has weight 0"),
        ((_user(), _user()), "two user classes are called U"),
    ],
)
def test_users_that_could_not_run_are_refused(
    path: Path, users: tuple[type[Any], ...], problem: str
) -> None:
    with pytest.raises(ScenarioError, match=problem):
        locustfile_model(path, users, None)


class _Rise:
    """Four users, then nine, until `end`."""

    def __init__(self, end: float) -> None:
        self.end = end

    def get_run_time(self) -> float:
        raise AssertionError

    def tick(self) -> tuple[int, float] | None:
        now = self.get_run_time()
        return None if now > self.end else (9 if now > 3 else 4, 2)


def test_a_shape_is_asked_for_its_users_and_its_end_without_waiting(path: Path) -> None:
    """One without an end takes the duration that was asked for, and needs it."""
    assert locustfile_model(path, (_user(),), _Rise(9.5)).shape == Shape("_Rise", 9, 10.0)
    endless = locustfile_model(path, (_user(),), _Rise(1e9)).shape
    assert endless == Shape("_Rise", 9)
    assert shaped(endless, 60).duration_s == 60
    assert shaped(Shape("Rise", 9, 10.0), 60).duration_s == 10
    with pytest.raises(ProfileError, match="never returns None; add --duration"):
        shaped(endless, None)


def test_a_shape_that_cannot_be_asked_is_refused(path: Path) -> None:
    """It raises, or asks for nobody."""
    broken = type("S", (), {"tick": lambda _: 1 / 0})()
    with pytest.raises(ScenarioError, match=r"S\.tick\(\) raised ZeroDivisionError"):
        locustfile_model(path, (_user(),), broken)
    with pytest.raises(ScenarioError, match="asks for no users"):
        locustfile_model(path, (_user(),), type("S", (), {"tick": lambda _: None})())


def test_options_of_an_arrival_rate_are_refused_for_users_that_loop() -> None:
    """And a spawn rate where no users loop; without --users there is one, as in Locust."""
    for words in ({"rate": 3.0}, {"spacing": "poisson"}, {"stages": "1s:3"}):
        with pytest.raises(ProfileError, match=f"not --{next(iter(words))}; give --users"):
            for_users(RunOptions("shop", **words), MODEL)
    mix = TrafficModel("shop", "x", "x.py", ())
    with pytest.raises(ProfileError, match="--spawn-rate is for a locustfile's users"):
        for_users(RunOptions("shop", spawn_rate=3.0), mix)
    usual = RunOptions("shop", usual=(10.0, 7.0))
    assert make_profile(for_users(usual, mix)).segments[-1].to_rate == 10
    profile = make_profile(for_users(usual, MODEL))
    assert (profile.users, profile.segments[-1].duration_s) == (1, 7.0)


def test_the_warm_up_lasts_until_every_user_has_begun() -> None:
    """At the spawn rate; without one, all begin within the usual warm-up."""
    assert resolve_profile(users=100).spawn_rate == 20
    slow = resolve_profile(users=100, spawn_rate=2, duration=30)
    assert [segment.duration_s for segment in slow.segments] == [50, 30]
    with pytest.raises(ProfileError, match="the spawn rate is 0"):
        resolve_profile(users=1, spawn_rate=0)


def test_a_target_that_pythons_clients_cannot_reach_is_refused_for_journeys() -> None:
    """HTTP/2, an address to bind to, and another TLS name for Locust's own clients."""
    for words in ({"http2": True}, {"bind": "127.0.0.2"}, {"server_name": "a"}):
        target = Target("shop", ("http://h",), "service", "a place", **words)
        with pytest.raises(PlatformError, match="which Python's clients cannot do"):
            check_target(target, MODEL)
        check_target(target, TrafficModel("shop", "x", "x.py", ()))
