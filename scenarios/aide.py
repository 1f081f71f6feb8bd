"""aide: a development environment; files are saved every few seconds while somebody types."""

from harness.traffic.collection import api, audited, feeds_of
from harness.traffic.user import TrafficUser


class AideUser(TrafficUser):
    """A developer in an editor."""

    service = "aide"
    feeds = feeds_of(1.1)
    audit = audited("/api/v1/aide", "new file")
    mix = api(
        "/api/v1/aide",
        find=("open workspace", 15),
        read=("open file", 30),
        create=("new file", 5),
        change=("save file", 48),
        remove=("delete file", 2),
        body={"text": "x = 1"},
    )
