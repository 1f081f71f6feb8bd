"""cumparai: shopping; people browse far more than they buy, and an order must not be lost."""

from harness.traffic.collection import api, audited, feeds_of
from harness.traffic.user import TrafficUser


class CumparaiUser(TrafficUser):
    """A visitor of a shop."""

    service = "cumparai"
    feeds = feeds_of(1.2)
    audit = audited("/api/v1/cumparai", "order")
    mix = api(
        "/api/v1/cumparai",
        find=("browse", 45),
        read=("product", 38),
        create=("order", 8),
        change=("change cart", 7),
        remove=("cancel", 2),
        body={"item": "{item}", "quantity": 1},
    )
