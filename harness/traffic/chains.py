"""Chains: requests one after another, each with values of the answers before it, without Python."""

from dataclasses import replace

from harness.errors import ScenarioError
from harness.traffic.model import Chain, Request

Capture = dict[str, object]


def json(pointer: str) -> Capture:
    """The value at a JSON pointer (RFC 6901): a text without quotes, else as JSON writes it."""
    return {"kind": "json", "pointer": pointer}


def header(name: str) -> Capture:
    """The value of the first header of this name."""
    return {"kind": "header", "name": name}


def cookie(name: str) -> Capture:
    """The value of the cookie that the answer sets."""
    return {"kind": "cookie", "name": name}


def regex(pattern: str) -> Capture:
    """What the first group of the pattern matches in the body; without groups, all of it.

    In Rust's syntax: as Python's, without look-around and back-references.
    """
    return {"kind": "regex", "pattern": pattern}


def chain(name: str, *steps: Request, weight: float = 1.0) -> Chain:
    """Requests that the engine sends one after another for one arrival.

    `capture={"token": json("/token")}` of a step takes values from its answer; `{token}` stands in
    the paths, headers, bodies and checks of the steps after it, as feeds do. A feed has one value
    in a chain. A step is due when the one before it was answered, plus its own `think_s`. After a
    failure, that of a capture included, the rest of the chain is not offered. The endpoint of a
    step without a `name` is `CHAIN: METHOD PATH`. Raises ScenarioError for what is no step.
    """
    for number, step in enumerate(steps):
        if not isinstance(step, Request):
            raise ScenarioError(f"chain {name!r}: step {number + 1} is {step!r}", "use get(…), …")
    return Chain(name, tuple(_named(name, step) for step in steps), weight)


def _named(chain: str, step: Request) -> Request:
    unnamed = f"{step.method} {step.path}".startswith(step.name)
    return replace(step, name=f"{chain}: {step.name}") if unnamed else step
