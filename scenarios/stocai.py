"""stocai: stock trading; quotes are read all day, an order must neither be lost nor doubled."""

from harness.traffic.collection import api, audited, feeds_of
from harness.traffic.user import TrafficUser


class StocaiUser(TrafficUser):
    """A trader."""

    service = "stocai"
    feeds = feeds_of(1.5)
    audit = audited("/api/v1/stocai", "place order")
    mix = api(
        "/api/v1/stocai",
        find=("market", 30),
        read=("quote", 50),
        create=("place order", 14),
        change=("change order", 4),
        remove=("cancel order", 2),
        body={"symbol": "{item}", "side": "buy", "quantity": 1},
    )
