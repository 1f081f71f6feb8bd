"""legalizai: legal; long documents are drafted, opened again and kept."""

from harness.traffic.collection import api, audited, feeds_of
from harness.traffic.user import TrafficUser


class LegalizaiUser(TrafficUser):
    """A lawyer with a case."""

    service = "legalizai"
    feeds = feeds_of(1.05)
    audit = audited("/api/v1/legalizai", "file document")
    mix = api(
        "/api/v1/legalizai",
        find=("list cases", 20),
        read=("open document", 45),
        create=("file document", 12),
        change=("redraft", 22),
        remove=("withdraw", 1),
        body={"title": "contract"},
    )
