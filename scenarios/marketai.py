"""marketai: marketing; campaigns are few, the events that they cause many."""

from harness.traffic.collection import api, feeds_of
from harness.traffic.user import TrafficUser


class MarketaiUser(TrafficUser):
    """Visitors whom a campaign has reached."""

    service = "marketai"
    feeds = feeds_of(1.4)
    mix = api(
        "/api/v1/marketai",
        find=("list campaigns", 12),
        read=("campaign", 40),
        create=("track event", 42),
        change=("change campaign", 5),
        remove=("end campaign", 1),
        body={"campaign": "{item}", "event": "click"},
    )
