"""memorai: a memory that is recalled far more often than it is written.

Recalls follow a Zipf law (few memories are asked for often); writes carry unique ids.
"""

from harness.traffic import (
    Audit,
    delete,
    get,
    json_pointer,
    post,
    sequence,
    status,
    uniform,
    uuid,
    zipf,
)
from harness.traffic.collection import KEYED
from harness.traffic.user import TrafficUser


class MemoraiUser(TrafficUser):
    """Recall, context and remember, as an assistant in conversation asks for them."""

    service = "memorai"
    feeds = {
        "memory": zipf(1000, s=1.1),
        "new": uuid(),
        "key": uniform(1, 20_000),
        "turn": sequence(start=1),
        "old": sequence(start=100_000),  # never one that is recalled
    }
    audit = Audit(
        write="remember",
        id="new",
        read="/api/memory/remember/{id}",
        canary="/api/memory/recall/1",
        expected='"id":"1"',
    )
    mix = [
        get(
            "/api/memory/recall/{memory}",
            name="recall",
            weight=55,
            headers=KEYED,
            checks=[status(200), json_pointer("/id", equals="{memory}")],
        ),
        get(
            "/api/memory/context?turn={turn}",
            name="context",
            weight=20,
            headers=KEYED,
            checks=[status(200), json_pointer("/items")],
        ),
        post(
            "/api/memory/remember",
            name="remember",
            weight=18,
            headers=KEYED,
            json_body={"id": "{new}", "turn": "{turn}", "text": "the user prefers short answers"},
            checks=[status(201), json_pointer("/id", equals="{new}")],
        ),
        delete(
            "/api/memory/forget/{old}",
            name="forget",
            weight=2,
            headers=KEYED,
            checks=[status(200), json_pointer("/service", equals="memorai")],
        ),
        get(
            "/api/stats",
            name="stats",
            weight=5,
            headers=KEYED,
            checks=[status(200), json_pointer("/items")],
        ),
    ]
