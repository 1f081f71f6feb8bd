"""Locust's own HTTP clients, with every request offered to the engine before it is sent.

They stay what they are: redirects are followed, and what fails is what Locust and the file say.
What differs: bodies are bounded, certificates verified, proxies of the environment left alone.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import cycle
from typing import TypeAlias

import gevent
import requests
from gevent.event import Event
from locust import FastHttpUser, TaskSet, User
from locust.clients import HttpSession, LocustHttpAdapter
from locust.contrib.fasthttp import FastHttpSession, LocustUserAgent
from locust.user.task import DefaultTaskSet
from requests.exceptions import RequestException

from harness.load.session import MOST_BYTES, STEP, BodyTooLarge, Response
from harness.load.visit import Visit, Way

Client: TypeAlias = "HttpSession | FastHttpSession"

PENDING_S = 0.005
"""Time for a stop to reach a user whose pause ended meanwhile: else its request would be cut."""


class _TooLarge(BodyTooLarge, RequestException):
    """The same as requests raises it."""


def _without_exit(call: Callable[..., object]) -> Callable[..., object]:
    """The same; `exit()` in it, which would end the whole process, is a failure of its user."""

    @functools.wraps(call)
    def guarded(*words: object, **more: object) -> object:
        try:
            return call(*words, **more)
        except SystemExit as stop:
            problem = RuntimeError(f"exit({stop.code!r}): raise StopUser to end a user")
            raise problem.with_traceback(stop.__traceback__) from None

    return guarded


class Clients:
    """The clients of this process; requests wait until `open` says where they go."""

    def __init__(self) -> None:
        self._opened = Event()
        self._visit: Visit | None = None
        self._ways: Iterator[Way] = iter(())
        self._first = ""
        self._closing = False

    def install(self, users: Iterable[type[User]], way: Way) -> None:
        """Put the accounting into Locust's clients; once in a process."""
        for kind in (HttpSession, FastHttpSession):
            kind.request = self._counted(kind.request)
        LocustUserAgent.response_type = Response
        LocustHttpAdapter.build_response = _bounded(LocustHttpAdapter.build_response)
        for kind in (TaskSet, DefaultTaskSet):
            kind.execute_task = _without_exit(kind.execute_task)
        for user in users:
            user.on_start = _without_exit(user.on_start)
            if issubclass(user, FastHttpUser) and user.insecure is FastHttpUser.insecure:
                user.insecure = not way.verify
                user.ssl_context_factory = user.ssl_context_factory or way.tls(user.insecure)

    def open(self, visit: Visit, ways: Iterable[Way]) -> None:
        """Let the requests go, each client to one of the addresses."""
        found = tuple(ways)
        self._visit, self._ways, self._first = visit, cycle(found), found[0].url
        self._opened.set()

    def close(self, **_: object) -> None:
        """The users are about to be stopped (Locust's `test_stopping`)."""
        self._closing = True

    def _counted(self, send: Callable[..., object]) -> Callable[..., object]:
        @functools.wraps(send)
        def request(
            session: Client,
            method: str,
            url: str,
            name: str | None = None,
            *words: object,
            context: Mapping[str, object] | None = None,
            headers: Mapping[str, str] | None = None,
            **options: object,
        ) -> object:
            if session.user is None and not self._opened.is_set():
                # A listener of test_start prepares something: no part of the load.
                return send(
                    session, method, url, name, *words,
                    context=context or {}, headers=headers, **options,
                )  # fmt: skip
            self._opened.wait()
            if self._closing:
                gevent.sleep(PENDING_S)
            visit = self._visit
            if visit is None:
                raise AssertionError
            way = self._way_of(session)
            if way.host and "://" not in url:
                headers = {"Host": way.host, **(headers or {})}
            step = visit.begin(name or session.request_name or url)
            marked = {**(context or {}), STEP: (visit, step)}
            try:
                return send(
                    session, method, url, name, *words,
                    context=marked, headers=headers, **options,
                )  # fmt: skip
            except gevent.GreenletExit:
                raise  # its user is stopped: the request stays unfinished
            except BaseException as error:
                visit.broke(step, error)
                raise
            finally:
                visit.rest(step)

        return request

    def _way_of(self, session: Client) -> Way:
        """The way of a client, which keeps it; what it needs for that is set once."""
        way: Way | None = getattr(session, "harness_way", None)
        if way is None:
            way = session.harness_way = next(self._ways)
            if (session.base_url or "").rstrip("/") == self._first:
                session.base_url = way.url
            if isinstance(session, HttpSession):
                session.trust_env = False
                if not way.verify or way.ca_file:
                    session.verify = way.ca_file if way.verify else False
        return way


def _bounded(build: Callable[..., requests.Response]) -> Callable[..., requests.Response]:
    """An adapter's `build_response` whose responses end at MOST_BYTES, however they are read."""

    @functools.wraps(build)
    def built(adapter: LocustHttpAdapter, request: object, raw: object) -> requests.Response:
        response = build(adapter, request, raw)
        stream = response.raw.stream

        def bounded(*words: object, **options: object) -> Iterator[bytes]:
            size = 0
            for piece in stream(*words, **options):
                size += len(piece)
                if size > MOST_BYTES:
                    response.close()
                    raise _TooLarge(f"the body has more than {MOST_BYTES} bytes")
                yield piece

        response.raw.stream = bounded
        return response

    return built


clients = Clients()
"""Of this process: Locust has one of each kind of client, too."""
