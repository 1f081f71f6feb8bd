"""The engine's plan document, made in one place from a LoadPlan (docs/contracts.md)."""

from dataclasses import replace

from harness.load.plan import LoadPlan
from harness.platform.connection import engine_connection
from harness.traffic.build import to_engine


def to_engine_plan(
    plan: LoadPlan, shard: int = 0, shards: int = 1, start_unix_ns: int = 0
) -> dict[str, object]:
    """The document for one of `shards` engines; `start_unix_ns` 0 starts at once.

    Connections and requests in flight are bounds of the whole run, so each shard gets its part.
    """
    target = plan.target
    profile = plan.profile
    if plan.traffic.locustfile:  # its users end the run, at the latest after a drain
        shown = replace(profile.segments[-1], phase="cooldown", duration_s=plan.drain_s + 1)
        profile = replace(profile, segments=(*profile.segments, shown))
    return {
        **to_engine(plan.traffic, profile),
        "salt": plan.salt,
        "shard": shard,
        "shards": shards,
        "threads": plan.threads,
        "start_unix_ns": start_unix_ns,
        **engine_connection(target),
        "connections_per_target": max(1, plan.connections_per_target // shards),
        "connect_timeout_s": plan.connect_timeout_s,
        "max_in_flight": max(1, plan.max_in_flight // shards),
        "drain_s": plan.drain_s,
    }
