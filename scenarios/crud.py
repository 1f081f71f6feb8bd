"""Any service, from its catalogue entry: list, read, create, replace on each of its collections.

Which service is meant comes from the catalogue entry that the harness puts into the environment.
Under plain `locust -f` set it yourself: `HARNESS_SERVICE='{"name": "hub"}'`.
"""

import json
import os

from harness.traffic import Request, get, json_pointer, post, put, status, uniform, uuid, zipf
from harness.traffic.user import TrafficUser

KEYED = {"x-api-key": "load-{key}"}
ENTRY = json.loads(os.environ.get("HARNESS_SERVICE") or '{"name": "codai"}')
DEFAULT_ROUTES = [{"path": f"/api/v1/{ENTRY['name']}"}]


def collections(routes: list[dict[str, str]]) -> list[str]:
    """Paths without variables: what can be listed and posted to."""
    return [route["path"] for route in routes if "{" not in route["path"]]


def crud(path: str) -> list[Request]:
    """Six reads, two lists, one create and one replace of ten requests to a collection."""
    options = {"headers": KEYED}
    return [
        get(
            f"{path}/{{item}}",
            name=f"read {path}",
            weight=6,
            checks=[status(200), json_pointer("/id", equals="{item}")],
            **options,
        ),
        get(path, name=f"list {path}", weight=2, checks=[status(200)], **options),
        post(
            path,
            name=f"create {path}",
            weight=1,
            json_body={"id": "{new}", "note": "made by a load test"},
            checks=[status(201), json_pointer("/id", equals="{new}")],
            **options,
        ),
        put(
            f"{path}/{{item}}",
            name=f"replace {path}",
            weight=1,
            json_body={"note": "replaced by a load test"},
            checks=[status(200)],
            **options,
        ),
    ]


class CrudUser(TrafficUser):
    """The documented generic API of every service."""

    service = ENTRY["name"]
    feeds = {"item": zipf(1000, s=1.1), "new": uuid(), "key": uniform(1, 20_000)}
    mix = [
        request
        for path in collections(ENTRY.get("routes", DEFAULT_ROUTES))
        for request in crud(path)
    ]
