"""ajutai: support; people search for an answer, and open a ticket when there is none."""

from harness.traffic.collection import api, audited, feeds_of
from harness.traffic.user import TrafficUser


class AjutaiUser(TrafficUser):
    """Somebody with a problem."""

    service = "ajutai"
    feeds = feeds_of(1.3)
    audit = audited("/api/v1/ajutai", "open ticket")
    mix = api(
        "/api/v1/ajutai",
        find=("search answers", 50),
        read=("read answer", 30),
        create=("open ticket", 12),
        change=("reply", 7),
        remove=("withdraw ticket", 1),
        body={"subject": "it does not work"},
    )
