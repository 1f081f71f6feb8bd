"""fabricai: AI services; a model is looked up, asked, and remembers what it was asked."""

from harness.traffic import stream
from harness.traffic.collection import KEYED, api, feeds_of, turn
from harness.traffic.user import TrafficUser


class FabricaiUser(TrafficUser):
    """An application that is built on a model."""

    service = "fabricai"
    feeds = feeds_of(1.4)
    mix = [
        *api("/api/ai-services", find=("services", 10)),
        stream(
            "/api/ai-services",
            name="ask",
            weight=45,
            headers=KEYED,
            json_body=turn("{new}", "Name ten uses of a brick."),
        ),
        *api("/api/model-management", read=("model", 20), change=("tune", 2)),
        *api("/api/memory", read=("recall", 18), create=("remember", 5)),
    ]
