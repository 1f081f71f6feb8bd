"""What becomes of packets inside the lab's network namespace: dropped, or answered by a reset.

With nftables packets vanish, as on a broken link: established connections hang and so do new
ones. Without it routing rules do nearly that for whole subnets: established connections hang, new
ones fail at once; shares and resets are not to be had.
"""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyroute2.netlink.rtnl.fibmsg import fibmsg

DROP, RESET = "drop", "reset"
ANYWHERE = "0.0.0.0/0"

_TABLE = "harness"
_LOCAL_TABLE = 255
_RULE_PRIORITY = 10
_LOCAL_PRIORITY = 100
_PARTS = 10_000
"""A share of packets is drawn in ten-thousandths."""


@dataclass(frozen=True, slots=True, order=True)
class Rule:
    """Packets from `source` to `target` (subnets, /32 is one address) that meet `verdict`.

    `port` (TCP, of the target) None: any packet. `share` in (0, 1] of them, drawn one by one.
    """

    source: str
    target: str
    verdict: str = DROP
    share: float = 1.0
    port: int | None = None


def between(a: str, b: str, share: float = 1.0) -> tuple[Rule, Rule]:
    """Both ways between two addresses or subnets."""
    one, other = (str(ipaddress.ip_network(each)) for each in (a, b))
    return Rule(one, other, share=share), Rule(other, one, share=share)


def means() -> str:
    """`nftables` or `routing rules`: what would be used here."""
    return "nftables" if _nft() else "routing rules"


def add(rules: Iterable[Rule]) -> None:
    """Let these rules hold too; idempotent."""
    _apply(set(present()) | set(rules))


def remove(rules: Iterable[Rule]) -> None:
    """Let these rules hold no longer; idempotent."""
    _apply(set(present()) - set(rules))


def present() -> Mapping[Rule, int | None]:
    """The rules that hold now, as the kernel tells, and how many packets each has met."""
    return _nft_present() if _nft() else dict.fromkeys(_rules_present())


def _apply(rules: set[Rule]) -> None:
    if _nft():
        _nft_apply(rules)
    else:
        _rules_apply(rules)


def _nft() -> str | None:
    return shutil.which("nft", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _run_nft(arguments: list[str], text: str | None = None) -> str:
    done = subprocess.run(
        [_nft() or "nft", *arguments], input=text, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise OSError(f"nft: {done.stderr.strip()}")
    return done.stdout


def _nft_apply(rules: set[Rule]) -> None:
    """Replace the whole table in one transaction."""
    lines = "\n".join(_nft_line(rule) for rule in sorted(rules, key=str))
    chain = f"chain out {{ type filter hook output priority 0; policy accept;\n{lines}\n}}"
    _run_nft(
        ["-f", "-"],
        f"add table ip {_TABLE}\ndelete table ip {_TABLE}\ntable ip {_TABLE} {{\n{chain}\n}}\n",
    )


def _nft_line(rule: Rule) -> str:
    """One rule; its comment, which the kernel keeps with it, tells it back."""
    words = [f"ip saddr {rule.source}"] if rule.source != ANYWHERE else []
    words.append(f"ip daddr {rule.target}")
    if rule.port is not None or rule.verdict == RESET:
        words.append("meta l4proto tcp" if rule.port is None else f"tcp dport {rule.port}")
    if rule.share < 1.0:
        words.append(f"numgen random mod {_PARTS} < {round(rule.share * _PARTS)}")
    verdict = "reject with tcp reset" if rule.verdict == RESET else "drop"
    comment = json.dumps(astuple(rule), separators=(",", ":")).replace('"', "'")
    return f'{" ".join(words)} counter {verdict} comment "{comment}"'


def _nft_present() -> dict[Rule, int | None]:
    tables = json.loads(_run_nft(["-j", "list", "tables"]))["nftables"]
    if not any(each.get("table", {}).get("name") == _TABLE for each in tables):
        return {}
    found: dict[Rule, int | None] = {}
    for each in json.loads(_run_nft(["-j", "list", "table", "ip", _TABLE]))["nftables"]:
        if "rule" in each:
            rule = Rule(*json.loads(each["rule"]["comment"].replace("'", '"')))
            counts = [e["counter"]["packets"] for e in each["rule"]["expr"] if "counter" in e]
            found[rule] = counts[0] if counts else None
    return found


def _rules_apply(rules: set[Rule]) -> None:
    """Blackhole rules, with the rule for local addresses moved behind them."""
    from pyroute2 import IPRoute  # noqa: PLC0415 - slow to import, needed for this only

    for rule in rules:
        if rule != Rule(rule.source, rule.target):
            raise OSError("a share of packets or a reset needs nftables; install it")
    known = set(_rules_present())
    with IPRoute() as route:
        if not any(_priority(each) == _LOCAL_PRIORITY for each in route.get_rules()):
            route.rule("add", priority=_LOCAL_PRIORITY, table=_LOCAL_TABLE, action="to_tbl")
            route.rule("del", priority=0, table=_LOCAL_TABLE, action="to_tbl")
        for rule in rules - known:
            route.rule("add", **_route_rule(rule))
        for rule in known - rules:
            route.rule("del", **_route_rule(rule))


def _route_rule(rule: Rule) -> dict[str, object]:
    a, b = ipaddress.ip_network(rule.source), ipaddress.ip_network(rule.target)
    return {
        "priority": _RULE_PRIORITY,
        "action": "blackhole",
        "src": str(a.network_address),
        "src_len": a.prefixlen,
        "dst": str(b.network_address),
        "dst_len": b.prefixlen,
    }


def _rules_present() -> list[Rule]:
    from pyroute2 import IPRoute  # noqa: PLC0415

    with IPRoute() as route:
        rules = [rule for rule in route.get_rules() if _priority(rule) == _RULE_PRIORITY]
    return [
        Rule(
            f"{rule.get_attr('FRA_SRC')}/{rule['src_len']}",
            f"{rule.get_attr('FRA_DST')}/{rule['dst_len']}",
        )
        for rule in rules
    ]


def _priority(rule: fibmsg) -> int:
    return int(rule.get_attr("FRA_PRIORITY") or 0)
