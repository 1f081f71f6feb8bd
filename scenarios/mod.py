"""mod: extensions; the catalogue is browsed, a few extensions are installed by most."""

from harness.traffic.collection import api, feeds_of
from harness.traffic.user import TrafficUser


class ModUser(TrafficUser):
    """Somebody who looks for an extension."""

    service = "mod"
    feeds = feeds_of(1.5)
    mix = api(
        "/api/v1/mod",
        find=("browse extensions", 40),
        read=("extension", 48),
        create=("publish", 3),
        change=("install", 8),
        remove=("uninstall", 1),
        body={"version": "1.0.0"},
    )
