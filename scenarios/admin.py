"""admin: the admin panel; few people look at long lists and change one thing at a time."""

from harness.traffic.collection import api, feeds_of
from harness.traffic.user import TrafficUser


class AdminUser(TrafficUser):
    """An administrator at work."""

    service = "admin"
    feeds = feeds_of(1.02)
    mix = api(
        "/api/v1/admin",
        find=("list accounts", 45),
        read=("open account", 35),
        create=("add account", 5),
        change=("change account", 13),
        remove=("close account", 2),
        body={"role": "viewer"},
    )
