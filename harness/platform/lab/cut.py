"""Cutting subnets apart at packet level inside the lab's network namespace.

With nftables packets vanish, as on a broken link: established connections hang and so do new
ones. Without it routing rules do nearly that: established connections hang, new ones fail at once.
"""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from typing import Any

Pair = tuple[str, str]

_TABLE = "harness"
_LOCAL_TABLE = 255
_RULE_PRIORITY = 10
_LOCAL_PRIORITY = 100


def means() -> str:
    """`nftables` or `routing rules`: what would be used here."""
    return "nftables" if _nft() else "routing rules"


def cut(pairs: Iterable[Pair]) -> None:
    """Let no packet pass between the two subnets of each pair, either way; idempotent."""
    _apply(set(present()) | {_ordered(pair) for pair in pairs})


def mend(pairs: Iterable[Pair]) -> None:
    """Undo `cut` for these pairs; idempotent."""
    _apply(set(present()) - {_ordered(pair) for pair in pairs})


def present() -> tuple[Pair, ...]:
    """The pairs cut now, as the kernel tells."""
    found = _nft_present() if _nft() else _rules_present()
    return tuple(sorted({_ordered(pair) for pair in found}))


def _ordered(pair: Iterable[str]) -> Pair:
    first, second = sorted(pair)
    return first, second


def _both_ways(pairs: Iterable[Pair]) -> list[Pair]:
    return [way for a, b in sorted(pairs) for way in ((a, b), (b, a))]


def _apply(pairs: set[Pair]) -> None:
    if _nft():
        _nft_apply(pairs)
    else:
        _rules_apply(pairs)


def _nft() -> str | None:
    return shutil.which("nft", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _run_nft(arguments: list[str], text: str | None = None) -> str:
    done = subprocess.run(
        [_nft() or "nft", *arguments], input=text, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise OSError(f"nft: {done.stderr.strip()}")
    return done.stdout


def _nft_apply(pairs: set[Pair]) -> None:
    """Replace the whole table in one transaction."""
    rules = "\n".join(
        f"ip saddr {source} ip daddr {target} counter drop" for source, target in _both_ways(pairs)
    )
    chain = f"chain out {{ type filter hook output priority 0; policy accept;\n{rules}\n}}"
    _run_nft(
        ["-f", "-"],
        f"add table ip {_TABLE}\ndelete table ip {_TABLE}\ntable ip {_TABLE} {{\n{chain}\n}}\n",
    )


def _nft_present() -> list[Pair]:
    tables = json.loads(_run_nft(["-j", "list", "tables"]))["nftables"]
    if not any(each.get("table", {}).get("name") == _TABLE for each in tables):
        return []
    found = []
    for each in json.loads(_run_nft(["-j", "list", "table", "ip", _TABLE]))["nftables"]:
        if "rule" in each:
            nets = [_prefix(e["match"]["right"]) for e in each["rule"]["expr"] if "match" in e]
            found.append((nets[0], nets[1]))
    return found


def _prefix(word: Any) -> str:
    return f"{word['prefix']['addr']}/{word['prefix']['len']}"


def _rules_apply(pairs: set[Pair]) -> None:
    """Blackhole rules, with the rule for local addresses moved behind them."""
    from pyroute2 import IPRoute  # noqa: PLC0415 - slow to import, needed for this only

    wanted, known = set(_both_ways(pairs)), set(_rules_present())
    with IPRoute() as route:
        if not any(_priority(rule) == _LOCAL_PRIORITY for rule in route.get_rules()):
            route.rule("add", priority=_LOCAL_PRIORITY, table=_LOCAL_TABLE, action="to_tbl")
            route.rule("del", priority=0, table=_LOCAL_TABLE, action="to_tbl")
        for source, target in wanted - known:
            route.rule("add", **_rule(source, target))
        for source, target in known - wanted:
            route.rule("del", **_rule(source, target))


def _rule(source: str, target: str) -> dict[str, Any]:
    a, b = ipaddress.ip_network(source), ipaddress.ip_network(target)
    return {
        "priority": _RULE_PRIORITY,
        "action": "blackhole",
        "src": str(a.network_address),
        "src_len": a.prefixlen,
        "dst": str(b.network_address),
        "dst_len": b.prefixlen,
    }


def _rules_present() -> list[Pair]:
    from pyroute2 import IPRoute  # noqa: PLC0415

    with IPRoute() as route:
        rules = [rule for rule in route.get_rules() if _priority(rule) == _RULE_PRIORITY]
    return [
        (
            f"{rule.get_attr('FRA_SRC')}/{rule['src_len']}",
            f"{rule.get_attr('FRA_DST')}/{rule['dst_len']}",
        )
        for rule in rules
    ]


def _priority(rule: Any) -> int:
    return int(rule.get_attr("FRA_PRIORITY") or 0)
