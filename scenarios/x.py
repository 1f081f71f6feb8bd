"""x: trading; an exchange opens, and orders come in bursts that must all be kept."""

from harness.traffic.collection import api, audited, feeds_of
from harness.traffic.user import TrafficUser


class XUser(TrafficUser):
    """A trading desk."""

    service = "x"
    feeds = feeds_of(1.4)
    audit = audited("/api/v1/x", "submit order")
    mix = api(
        "/api/v1/x",
        find=("order book", 40),
        read=("position", 30),
        create=("submit order", 22),
        change=("amend order", 5),
        remove=("cancel order", 3),
        body={"pair": "{item}", "side": "sell", "amount": 0.1},
    )
