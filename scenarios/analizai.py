"""analizai: analytics; dashboards ask the same few long lists again and again."""

from harness.traffic.collection import api, feeds_of
from harness.traffic.user import TrafficUser


class AnalizaiUser(TrafficUser):
    """A dashboard that refreshes."""

    service = "analizai"
    feeds = feeds_of(1.4)
    mix = api(
        "/api/v1/analizai",
        find=("query", 70),
        read=("open report", 25),
        create=("save report", 3),
        change=("change report", 1.5),
        remove=("drop report", 0.5),
        body={"metric": "orders", "by": "day"},
    )
