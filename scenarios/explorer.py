"""explorer: a blockchain explorer; the newest blocks are listed, transactions looked up by id."""

from harness.traffic.collection import api, feeds_of
from harness.traffic.user import TrafficUser


class ExplorerUser(TrafficUser):
    """Somebody who follows a payment."""

    service = "explorer"
    feeds = feeds_of(1.1)
    mix = api(
        "/api/v1/explorer",
        find=("latest blocks", 40),
        read=("transaction", 58),
        create=("watch address", 2),
        body={"address": "{item}"},
    )
