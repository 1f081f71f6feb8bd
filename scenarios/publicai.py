"""publicai: civic AI; a question is asked of a service of the state, often at the same hour."""

from harness.traffic import stream
from harness.traffic.collection import KEYED, api, audited, feeds_of, turn
from harness.traffic.user import TrafficUser


class PublicaiUser(TrafficUser):
    """A citizen with a request."""

    service = "publicai"
    feeds = feeds_of(1.2)
    audit = audited("/api/v1/publicai", "hand in request")
    mix = [
        *api(
            "/api/v1/publicai",
            find=("find procedure", 25),
            read=("read decision", 30),
            create=("hand in request", 15),
            change=("amend request", 9),
            remove=("withdraw request", 1),
            body={"question": "how do I register"},
        ),
        stream(
            "/api/v1/publicai",
            name="ask",
            weight=20,
            headers=KEYED,
            json_body=turn("{new}", "How do I register a company?"),
        ),
    ]
