"""studiai: education; captions stream while a lesson plays, progress is saved as it goes."""

from harness.traffic import get, json_pointer, post, put, status, uniform, uuid, zipf
from harness.traffic.collection import KEYED
from harness.traffic.user import TrafficUser


class StudiaiUser(TrafficUser):
    """A class in front of its lessons."""

    service = "studiai"
    feeds = {"lesson": zipf(1000, s=1.2), "certificate": uuid(), "key": uniform(1, 20_000)}
    mix = [
        get(
            "/api/captions/{lesson}",
            name="captions",
            weight=60,
            headers=KEYED,
            checks=[status(200), json_pointer("/id", equals="{lesson}")],
        ),
        put(
            "/api/sync-lesson/{lesson}",
            name="save progress",
            weight=30,
            headers=KEYED,
            json_body={"position": 312},
            checks=[status(200), json_pointer("/id", equals="{lesson}")],
        ),
        post(
            "/api/certificate",
            name="certificate",
            weight=2,
            headers=KEYED,
            json_body={"id": "{certificate}", "lesson": "{lesson}"},
            checks=[status(201), json_pointer("/id", equals="{certificate}")],
        ),
        get(
            "/api/certificate",
            name="certificates",
            weight=8,
            headers=KEYED,
            checks=[status(200), json_pointer("/items")],
        ),
    ]
