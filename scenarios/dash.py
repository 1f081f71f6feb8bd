"""dash: the dashboard; every open tab reads the same panels on a timer."""

from harness.traffic.collection import api, feeds_of
from harness.traffic.user import TrafficUser


class DashUser(TrafficUser):
    """A wall of panels."""

    service = "dash"
    feeds = feeds_of(1.5)
    mix = api(
        "/api/v1/dash",
        find=("panels", 60),
        read=("panel", 38),
        create=("add panel", 1),
        change=("move panel", 1),
        body={"title": "requests"},
    )
