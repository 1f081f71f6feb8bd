"""id: identity; who somebody is is asked far more often than it changes."""

from harness.traffic.collection import api, audited, feeds_of
from harness.traffic.user import TrafficUser


class IdUser(TrafficUser):
    """Services that check whom they serve."""

    service = "id"
    feeds = feeds_of(1.05)
    audit = audited("/api/v1/id", "enrol")
    mix = api(
        "/api/v1/id",
        find=("search identities", 3),
        read=("identity", 88),
        create=("enrol", 4),
        change=("change identity", 4.5),
        remove=("erase", 0.5),
        body={"kind": "person"},
    )
