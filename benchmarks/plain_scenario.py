"""memorai's traffic for a server that answers everything with 200 and `{"ok":true}`."""

from harness.traffic import delete, get, json_pointer, post, sequence, status, uniform, uuid, zipf
from harness.traffic.user import TrafficUser

KEYED = {"x-api-key": "load-{key}"}
GOOD = [status(200), json_pointer("/ok")]


class PlainUser(TrafficUser):
    """The mix of scenarios/memorai.py, with the checks that such an answer can pass."""

    service = "memorai"
    feeds = {  # noqa: RUF012 - as a scenario is written
        "memory": zipf(1000, s=1.1),
        "new": uuid(),
        "key": uniform(1, 20_000),
        "turn": sequence(start=1),
        "old": sequence(start=100_000),
    }
    mix = [  # noqa: RUF012 - as a scenario is written
        get("/api/memory/recall/{memory}", name="recall", weight=55, headers=KEYED, checks=GOOD),
        get(
            "/api/memory/context?turn={turn}", name="context", weight=20, headers=KEYED, checks=GOOD
        ),
        post(
            "/api/memory/remember",
            name="remember",
            weight=18,
            headers=KEYED,
            json_body={"id": "{new}", "turn": "{turn}", "text": "the user prefers short answers"},
            checks=GOOD,
        ),
        delete("/api/memory/forget/{old}", name="forget", weight=2, headers=KEYED, checks=GOOD),
        get("/api/stats", name="stats", weight=5, headers=KEYED, checks=GOOD),
    ]
