"""tools: utilities; short jobs are handed in and their results fetched."""

from harness.traffic.collection import api, feeds_of
from harness.traffic.user import TrafficUser


class ToolsUser(TrafficUser):
    """A script that hands in jobs."""

    service = "tools"
    feeds = feeds_of(1.1)
    mix = api(
        "/api/v1/tools",
        find=("list tools", 15),
        read=("fetch result", 50),
        create=("run job", 30),
        change=("rerun job", 4),
        remove=("drop result", 1),
        body={"tool": "resize"},
    )
