"""hub: service management; agents report their state, operators look at it."""

from harness.traffic.collection import api, feeds_of
from harness.traffic.user import TrafficUser


class HubUser(TrafficUser):
    """Agents, and an operator now and then."""

    service = "hub"
    feeds = feeds_of(1.05)
    mix = api(
        "/api/v1/hub",
        find=("list services", 30),
        read=("service", 30),
        create=("register", 2),
        change=("report state", 37),
        remove=("deregister", 1),
        body={"state": "up"},
    )
