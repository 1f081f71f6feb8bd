"""What a Prometheus says of a service over a run: kept beside the harness's own figures.

Its figures are no part of a verdict. Whatever goes wrong with them is one sentence in
`prometheus.json`. Whether an alert fires is asked by who guards an experiment with it.
"""

import json
import math
import os
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Self, TypeVar
from urllib.parse import unquote, urlsplit

from harness.bounded import within
from harness.errors import HarnessError, UsageError
from harness.record.run import RunRecord, check_schema
from harness.redact import redact, register
from harness.storage import read_object, write_json
from harness.units import NANOSECONDS

FILE = "prometheus.json"
SCHEMA = 1
TOKEN_VARIABLE = "HARNESS_PROMETHEUS_TOKEN"  # noqa: S105 - a name
ALERTMANAGER_TOKEN = "HARNESS_ALERTMANAGER_TOKEN"  # noqa: S105 - a name
URL_VARIABLE = "HARNESS_PROMETHEUS_URL"
"""How a child of an experiment learns it: the file of its context would outlive a kill."""

CONNECT_S, ANSWER_S = 5.0, 10.0
LIMIT_S = 30.0
"""For all questions together: the run is over, and somebody waits for its verdict."""

WINDOWS_S = (15, 60)
"""Over which rates are taken: the first with an answer for half of the run, as scrapes allow."""

STEPS_S = (1, 5)
MOST_BYTES = 32 << 20
"""Of one answer: 10,000 points take less than one."""

MOST_POINTS = 10_000
MOST_WORDS = 200
"""Points and letters of one answer: Prometheus itself refuses more than 11,000 points."""

OK, UNAUTHORIZED, FORBIDDEN = 200, 401, 403

_HASH = "[bcdfghjklmnpqrstvwxz2456789]"
"""The letters of which Kubernetes makes a pod's name: no other service's name looks like it."""

QUANTILES: Mapping[str, float] = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
OF_REQUESTS: Mapping[str, str] = {
    "error_ratio": (
        '(sum(rate(http_requests_total{{{by},status=~"5.."}}[{window}s]))'
        ' or sum(rate(http_requests_total{{{by},code=~"5.."}}[{window}s])) or vector(0))'
        " / sum(rate(http_requests_total{{{by}}}[{window}s]))"
    ),
    **{
        name: f"histogram_quantile({q}, sum by (le)"
        " (rate(http_request_duration_seconds_bucket{{{by}}}[{window}s])))"
        for name, q in QUANTILES.items()
    },
}
OF_PODS: Mapping[str, str] = {
    "restarts": "sum(kube_pod_container_status_restarts_total{{{by}}})",
    "cpu": (
        'sum(rate(container_cpu_usage_seconds_total{{{by},container!="",container!="POD"}}'
        "[{window}s]))"
    ),
}
REQUEST_RATE = "sum(rate(http_requests_total{{{by}}}[{window}s]))"

Points = list[tuple[float, float]]
T = TypeVar("T")


class PrometheusError(HarnessError):
    """It did not give an answer."""


@dataclass(frozen=True)
class _Server:
    """One server. `url` has no credentials; they are in no `repr` either."""

    name: ClassVar[str]
    token_variable: ClassVar[str]

    url: str
    credentials: tuple[str, str] | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    @classmethod
    def at(cls, url: str | None) -> Self | None:
        """The server at a URL with the environment's token, None for no URL; raises UsageError."""
        if url is None:
            return None
        remedy = "write it like http://prometheus.monitoring:9090"
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise UsageError(f"--{cls.name.lower()} is no URL", remedy) from None
        if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment:
            raise UsageError(f"--{cls.name.lower()} is no address of a server", remedy)
        name = f"[{host}]" if ":" in host else host
        bare = f"{parts.scheme}://{name}{f':{port}' if port else ''}{parts.path.rstrip('/')}"
        token = os.environ.get(cls.token_variable, "").strip() or None
        if token and not (token.isascii() and token.isprintable()):
            raise UsageError(f"{cls.token_variable} holds what no header takes", "set it anew")
        user = (unquote(parts.username or ""), unquote(parts.password or ""))
        pair = b64encode(":".join(user).encode()).decode()
        register((token or "", user[1], pair))
        return cls(bare, user if any(user) and not token else None, token)

    def _answer(self, path: str, words: Mapping[str, str], read: Callable[[int, object], T]) -> T:
        """What `read` makes of the status and the JSON of one answer. Raises PrometheusError."""
        import httpx  # noqa: PLC0415 - only who asks pays for it

        try:
            status, text = within(ANSWER_S, lambda: self._get(path, words))
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as problem:
            why = _line(str(problem)) or type(problem).__name__
            raise PrometheusError(f"{self.name} at {self.url} does not answer: {why}") from None
        if status in {UNAUTHORIZED, FORBIDDEN}:
            raise PrometheusError(
                f"{self.name} at {self.url} refuses ({status}): check {self.token_variable}"
            )
        try:
            return read(status, json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise PrometheusError(
                f"what answers at {self.url} ({status}) is no {self.name}"
            ) from None

    def _get(self, path: str, words: Mapping[str, str]) -> tuple[int, bytes]:
        """The status and body of one answer. Raises ValueError for a flood, and httpx's errors."""
        import ssl  # noqa: PLC0415

        import httpx  # noqa: PLC0415

        token = {"authorization": f"Bearer {self.token}"} if self.token else {}
        secure = self.url.startswith("https:")  # else no authority is read: 20 ms a query
        with httpx.stream(
            "GET",
            f"{self.url}/api/{path}",
            params=dict(words),
            headers={"accept-encoding": "identity", **token},
            auth=self.credentials,
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
            verify=secure and ssl.create_default_context(),
            trust_env=False,
        ) as answer:
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise ValueError("it compresses its answer though it was asked not to")
            body = bytearray()
            for part in answer.iter_raw():
                body += part
                if len(body) > MOST_BYTES:
                    raise ValueError(f"its answer is larger than {MOST_BYTES >> 20} MiB")
            return answer.status_code, bytes(body)


class Prometheus(_Server):
    """A Prometheus, or whatever answers its queries."""

    name = "Prometheus"
    token_variable = TOKEN_VARIABLE

    @classmethod
    def of_environment(cls) -> Self | None:
        """The server that an experiment's own process was started with."""
        return cls.at(os.environ.get(URL_VARIABLE) or None)

    def value(self, query: str) -> float:
        """What an instant query gives now. Raises PrometheusError, also for no single number."""
        found = self._points("query", {"query": query}, "value")
        if not found:
            raise PrometheusError(f"Prometheus has no single number for {query!r}")
        return found[0][1]

    def holds(self, condition: str) -> bool:
        """Whether an expression has a series now, as a rule of alerting asks.

        Raises PrometheusError, also for one that gives a number alone and so always holds, and
        where there is none in an answer that may be incomplete (`warnings`).
        """

        def read(status: int, body: Any) -> bool:
            found = self._result(status, body)
            if body["data"]["resultType"] != "vector":
                raise PrometheusError(
                    f"`{condition}` is a number: compare series, as a rule of alerting does"
                )
            if not found and (warnings := body.get("warnings")):
                raise PrometheusError(f"Prometheus at {self.url} warns: {_line(str(warnings))}")
            return bool(found)

        return self._answer("v1/query", {"query": condition}, read)

    def range(self, query: str, start: float, end: float, step_s: int) -> Points:
        """(Unix time, number) of a query's one series, numbers only; raises PrometheusError."""
        words = {"query": query, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step_s}"}
        return self._points("query_range", words, "values")

    def _points(self, what: str, words: Mapping[str, str], key: str) -> Points:
        def read(status: int, body: Any) -> Points:
            series = self._result(status, body)
            if len(series) != 1:
                return []
            points = [series[0][key]] if key == "value" else series[0][key]
            numbers = [(float(at), float(number)) for at, number in points]
            return [(at, number) for at, number in numbers if math.isfinite(number)]

        return self._answer(f"v1/{what}", words, read)

    def _result(self, status: int, body: Any) -> list[Any]:
        if status != OK or body["status"] != "success":
            said = _line(str(body.get("error") or body["status"]))
            raise PrometheusError(f"Prometheus at {self.url} refuses the query ({status}): {said}")
        return _list_of(body["data"]["result"])


class Alertmanager(_Server):
    """An Alertmanager, by its API v2."""

    name = "Alertmanager"
    token_variable = ALERTMANAGER_TOKEN

    def fires(self, alert: str) -> bool:
        """Whether it has an alert of that name, silenced ones included. Raises PrometheusError."""

        def read(status: int, body: Any) -> bool:
            if status != OK:
                raise PrometheusError(f"Alertmanager at {self.url} refuses ({status})")
            return alert in [str(each["labels"]["alertname"]) for each in _list_of(body)]

        words = {"filter": f"alertname={json.dumps(alert)}"}
        return self._answer("v2/alerts", words, read)


def _list_of(found: object) -> list[Any]:
    """An answer that must be a list: an empty object of something else is no "nothing fires"."""
    if not isinstance(found, list):
        raise TypeError
    return found


def keep(server: Prometheus | None, record: RunRecord) -> None:
    """Store the answer for the record's time beside it, or why there is none; RecordError."""
    if server is not None and record.start_wall_ns is not None:
        found = asked(server, record, record.start_wall_ns / NANOSECONDS)
        write_json(record.directory / FILE, redact(found))


def kept(record: RunRecord) -> dict[str, Any] | None:
    """What `keep` stored; None where nobody was asked. Raises RecordError for a damaged file."""
    path = record.directory / FILE
    if not path.is_file():
        return None
    found = read_object(path)
    check_schema(path, found)
    return found


def asked(server: Prometheus, record: RunRecord, start: float) -> dict[str, Any]:
    """Every figure as a series over the run; `t` counts from its start, as in the record."""
    length = record.plan.profile.duration_s
    least, most = STEPS_S
    step = max(least, min(most, math.ceil(length / 300)), math.ceil(length / MOST_POINTS))
    ask = partial(server.range, start=start, end=start + length, step_s=step)
    target = record.environment.get("target") or {}
    name, namespace = record.service.name, target.get("namespace")
    series: dict[str, tuple[str, Points]] = {}
    notes: list[str] = []
    until = time.monotonic() + LIMIT_S
    window = max(WINDOWS_S)
    try:
        by, window, points = _requests(ask, name, namespace, round(length / step), until)
        queries = _queries(by, name, namespace, window)
        if points:
            series["request_rate"] = (REQUEST_RATE.format(by=by, window=window), points)
        else:
            notes.append(f"Prometheus has no http_requests_total of {name} for this run")
            queries = {figure: queries[figure] for figure in OF_PODS}
        for figure, query in queries.items():
            _check_time(until)
            if points := ask(query):
                series[figure] = (query, points)
        if lacking := [figure for figure in queries if figure not in series]:
            notes.append(f"Prometheus has nothing of {name} for: {', '.join(lacking)}")
    except PrometheusError as problem:
        notes.append(str(problem))
    return {
        "schema": SCHEMA,
        "url": server.url,
        "step_s": step,
        "window_s": window,
        "series": {
            figure: {"query": query, "points": [(round(at - start, 3), n) for at, n in points]}
            for figure, (query, points) in series.items()
        },
        "notes": notes,
    }


def _requests(
    ask: partial[Points], name: str, namespace: str | None, steps: int, until: float
) -> tuple[str, int, Points]:
    """By which labels and over which window the service's requests are counted, and their rate."""
    best: tuple[str, int, Points] = ("", max(WINDOWS_S), [])
    for by in _by(name, namespace):
        for window in WINDOWS_S:
            _check_time(until)
            points = ask(REQUEST_RATE.format(by=by, window=window))
            if len(points) > len(best[2]):
                best = (by, window, points)
            if len(points) > steps / 2:
                return best
        if best[2]:
            return best
    return best


def _queries(by: str, name: str, namespace: str | None, window: int) -> dict[str, str]:
    """Figure -> what is asked for it."""
    pods = _in(namespace) + _pods(name)
    return {
        **{figure: query.format(by=by, window=window) for figure, query in OF_REQUESTS.items()},
        **{figure: query.format(by=pods, window=window) for figure, query in OF_PODS.items()},
    }


def _by(name: str, namespace: str | None) -> Iterator[str]:
    """The conventions by which a service's series are labelled, the platform's own first."""
    for labels in (f'service="{name}"', f'app="{name}"', f'job=~"(.+/)?{name}"', _pods(name)):
        yield _in(namespace) + labels


def _in(namespace: str | None) -> str:
    """Never another namespace's series; those without the label are taken for this one's."""
    return f'namespace=~"{namespace}|",' if namespace else ""


def _pods(name: str) -> str:
    """The pods of a Deployment or a StatefulSet of that name."""
    return f'pod=~"{name}-({_HASH}{{1,10}}-{_HASH}{{5}}|[0-9]+)"'


def _check_time(until: float) -> None:
    if time.monotonic() > until:
        raise PrometheusError(f"Prometheus took longer than {LIMIT_S:g} s: the rest was not asked")


def _line(text: str) -> str:
    return str(redact(" ".join(text.split())))[:MOST_WORDS]
