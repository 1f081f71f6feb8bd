"""kodex: a code repository; machines clone and read, people push."""

from harness.traffic.collection import api, audited, feeds_of
from harness.traffic.user import TrafficUser


class KodexUser(TrafficUser):
    """Builds, and people who push."""

    service = "kodex"
    feeds = feeds_of(1.3)
    audit = audited("/api/v1/kodex", "push")
    mix = api(
        "/api/v1/kodex",
        find=("list repositories", 10),
        read=("read repository", 72),
        create=("push", 12),
        change=("change settings", 5),
        remove=("delete branch", 1),
        body={"branch": "main"},
    )
