"""docs: documentation; almost everything is read, a few pages by nearly everybody."""

from harness.traffic.collection import api, feeds_of
from harness.traffic.user import TrafficUser


class DocsUser(TrafficUser):
    """A reader."""

    service = "docs"
    feeds = feeds_of(1.6)
    mix = api(
        "/api/v1/docs",
        find=("search pages", 25),
        read=("page", 73),
        create=("publish", 0.5),
        change=("edit", 1.5),
        body={"title": "how to"},
    )
