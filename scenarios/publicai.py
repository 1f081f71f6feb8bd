"""publicai: civic AI; a question is asked of a service of the state, often at the same hour."""

from harness.traffic.collection import api, audited, feeds_of
from harness.traffic.user import TrafficUser


class PublicaiUser(TrafficUser):
    """A citizen with a request."""

    service = "publicai"
    feeds = feeds_of(1.2)
    audit = audited("/api/v1/publicai", "hand in request")
    mix = api(
        "/api/v1/publicai",
        find=("find procedure", 35),
        read=("read decision", 35),
        create=("hand in request", 20),
        change=("amend request", 9),
        remove=("withdraw request", 1),
        body={"question": "how do I register"},
    )
