"""metu: metrics; samples are written all the time and read by a few graphs."""

from harness.traffic.collection import api, feeds_of
from harness.traffic.user import TrafficUser


class MetuUser(TrafficUser):
    """Exporters that push, and a graph."""

    service = "metu"
    feeds = feeds_of(1.2)
    mix = api(
        "/api/v1/metu",
        find=("query range", 18),
        read=("series", 20),
        create=("write sample", 60),
        change=("relabel", 1.5),
        remove=("drop series", 0.5),
        body={"value": 1.5},
    )
