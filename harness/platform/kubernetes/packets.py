"""Rules for packets in a node's network: a table of its own for each fault, that ends by itself.

Standard library only, as all of an agent.
"""

import json
import subprocess
import zlib
from collections.abc import Sequence

from harness.platform.kubernetes.delay import TUNNELS, family

ALIVE_S = 20
"""How long packet rules hold without a word of their agent: the kernel ends them by itself."""

AGENT_UID = 64321
"""The user whose packets a cut lets through: only the agent's own look at its lease."""

MARK = 0x5F17
TABLE = "codai_harness"
"""The first part of the name of a fault's own table."""

OWN = f"meta skuid {AGENT_UID} meta mark set {MARK} ct mark set {MARK} accept"
"""The rule that lets an agent's own look at its lease out."""

ALIVE = "meta nfproto @alive"
"""What a rule asks for that is to hold only while its agent lives."""

PARTS = 10_000
"""A share of packets is drawn in ten-thousandths."""


def nft(script: str) -> str:
    """Run an nft script; raises OSError with its words."""
    done = subprocess.run(
        ["nft", "-f", "-"], input=script, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise OSError(f"nft: {done.stderr.strip()}")
    return done.stdout


def has_table(name: str) -> bool:
    """Whether a table is in the node's network."""
    done = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=False)
    return name in done.stdout.split()


def mark_of(lease: str) -> str:
    """Eight digits that tell a fault's rules from those of another on the same node."""
    return f"{zlib.crc32(lease.encode()):08x}"


def cut_chains() -> str:
    """Nothing in, out or through but loopback, neighbour discovery and the agent's own look."""
    neighbours = "icmpv6 type { 133, 134, 135, 136 } accept"
    return f"""chain out {{ type filter hook output priority -150; policy accept;
oifname "lo" accept; {neighbours}; {OWN}; {ALIVE} counter drop; }}
chain into {{ type filter hook input priority -100; policy accept;
iifname "lo" accept; {neighbours}; ct mark {MARK} accept; {ALIVE} counter drop; }}
chain through {{ type filter hook forward priority -100; policy accept; {ALIVE} counter drop; }}"""


def met(table: str) -> int:
    """How many packets the rules of a table have met."""
    words = ["nft", "-j", "list", "table", "inet", table]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"nft: {done.stderr.strip()}")
    rules = [each["rule"] for each in json.loads(done.stdout)["nftables"] if "rule" in each]
    counters = [part["counter"] for rule in rules for part in rule["expr"] if "counter" in part]
    return sum(int(counter["packets"]) for counter in counters)


def drawn(share: float) -> str:
    """The words of a rule that let it meet this share of the packets, drawn one by one."""
    return f"numgen random mod {PARTS} < {max(1, round(share * PARTS))}" if share < 1.0 else ""


def everywhere(rules: str) -> str:
    """Chains with these rules on every hook that a packet may pass here, but for our own look."""
    own = {"output": OWN, "input": f"ct mark {MARK} accept", "forward": ""}
    return "\n".join(
        f"chain {hook} {{ type filter hook {hook} priority -100; policy accept;\n"
        f"{free}\n{rules}\n}}"
        for hook, free in own.items()
    )


def between_chains(near: Sequence[str], far: Sequence[str], share: float = 1.0) -> str:
    """Drop between addresses or subnets of one side and of the other, either way, on every hook."""
    rules = [] if share == 1.0 else [tunnels_pass()]
    for word in ("ip", "ip6"):
        a, b = (", ".join(each for each in side if family(each) == word) for side in (near, far))
        if a and b:
            drop = f"{ALIVE} {drawn(share)} counter drop"
            rules.append(f"{word} saddr {{ {a} }} {word} daddr {{ {b} }} {drop}")
            rules.append(f"{word} saddr {{ {b} }} {word} daddr {{ {a} }} {drop}")
    return everywhere("\n".join(rules))


def tunnels_pass() -> str:
    """Rules that let pass what has been met, or will be, without its wrapping."""
    ports, protocols = (", ".join(map(str, numbers)) for numbers in TUNNELS.values())
    return f"udp dport {{ {ports} }} accept\nmeta l4proto {{ {protocols} }} accept"


def reset_chains(addresses: Sequence[str], port: int, share: float) -> str:
    """Answer a share of what is sent to this port of these pods by a reset."""
    meets = f"tcp dport {port} {ALIVE} {drawn(share)} counter reject with tcp reset"
    return everywhere("\n".join(f"{family(each)} daddr {each} {meets}" for each in addresses))


def name_chains(addresses: Sequence[str]) -> str:
    """Drop every question of these pods to a name server."""
    drops = "\n".join(
        f"{family(address)} saddr {address} {kind} dport 53 {ALIVE} counter drop"
        for address in addresses
        for kind in ("udp", "tcp")
    )
    chain = "chain forward { type filter hook forward priority -300; policy accept;"
    early = "chain early { type filter hook prerouting priority -300; policy accept;"
    return f"{chain}\n{drops}\n}}\n{early}\n{drops}\n}}"
