"""sociai: a social network; a feed is scrolled by all, written by few, a few posts by all."""

from harness.traffic.collection import api, audited, feeds_of
from harness.traffic.user import TrafficUser


class SociaiUser(TrafficUser):
    """Somebody who scrolls."""

    service = "sociai"
    feeds = feeds_of(1.5)
    audit = audited("/api/social/feed", "post")
    mix = [
        *api("/api/social/feed", find=("scroll", 50), read=("open post", 20), create=("post", 4)),
        *api("/api/social/engagement", create=("like", 15), remove=("unlike", 1)),
        *api("/api/social/communities", find=("communities", 5), change=("join", 2)),
        *api("/api/social/analytics", read=("reach", 3)),
    ]
