"""jucai: gaming; a score is written at the end of each round and the table read after it."""

from harness.traffic.collection import api, audited, feeds_of
from harness.traffic.user import TrafficUser


class JucaiUser(TrafficUser):
    """A player between rounds."""

    service = "jucai"
    feeds = feeds_of(1.2)
    audit = audited("/api/v1/jucai", "finish round")
    mix = api(
        "/api/v1/jucai",
        find=("leaderboard", 35),
        read=("player", 30),
        create=("finish round", 20),
        change=("save progress", 15),
        body={"player": "{item}", "score": 42},
    )
