"""codai: the central platform; people chat, look at their profile and share a workspace."""

from harness.traffic import get, json_pointer, put, status, stream, uniform, uuid, zipf
from harness.traffic.collection import KEYED, turn
from harness.traffic.user import TrafficUser


class CodaiUser(TrafficUser):
    """A working day: mostly profile and workspace reads, with chat turns between."""

    service = "codai"
    feeds = {"user": zipf(1000, s=1.05), "turn": uuid(), "key": uniform(1, 20_000)}
    mix = [
        get(
            "/api/user/profile/{user}",
            name="profile",
            weight=35,
            headers=KEYED,
            checks=[status(200), json_pointer("/id", equals="{user}")],
        ),
        get(
            "/api/workspace/collaboration",
            name="workspace",
            weight=25,
            headers=KEYED,
            checks=[status(200), json_pointer("/items")],
        ),
        stream(
            "/api/ai/chat",
            name="chat",
            weight=25,
            headers=KEYED,
            json_body=turn("{turn}", "Explain this function."),
        ),
        get(
            "/api/user/preferences/{user}",
            name="preferences",
            weight=10,
            headers=KEYED,
            checks=[status(200), json_pointer("/id", equals="{user}")],
        ),
        put(
            "/api/user/preferences/{user}",
            name="save preferences",
            weight=5,
            headers=KEYED,
            json_body={"theme": "dark", "language": "ro"},
            checks=[status(200), json_pointer("/id", equals="{user}")],
        ),
    ]
