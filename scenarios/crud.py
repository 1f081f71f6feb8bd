"""Any service, from its catalogue entry: list, create, read, replace, delete.

On each of its collections, as far as the routes allow it.

The harness says which service is meant. Under plain `locust -f` say it yourself:
`HARNESS_SERVICE=hub locust -f scenarios/crud.py --host …`.
"""

from harness.catalog import Service
from harness.catalog.model import Route
from harness.traffic import (
    Audit,
    Request,
    delete,
    get,
    json_pointer,
    post,
    put,
    sequence,
    service_asked,
    status,
    uniform,
    uuid,
    zipf,
)
from harness.traffic.collection import KEYED
from harness.traffic.user import TrafficUser

MADE = {"id": "{new}", "note": "made by a load test"}


def on_collection(route: Route) -> list[Request]:
    """Two lists and one create of ten requests."""
    path = route.path
    requests = {
        "GET": get(
            path,
            name=f"list {path}",
            weight=2,
            headers=KEYED,
            checks=[status(200), json_pointer("/items")],
        ),
        "POST": post(
            path,
            name=f"create {path}",
            headers=KEYED,
            json_body=MADE,
            checks=[status(201), json_pointer("/id", equals="{new}")],
        ),
    }
    return [requests[method] for method in route.methods if method in requests]


def on_item(route: Route) -> list[Request]:
    """Five reads, one replace and one delete of ten requests; what is read is never deleted."""
    path = route.path[: route.path.rindex("/")]
    requests = {
        "GET": get(
            f"{path}/{{item}}",
            name=f"read {path}",
            weight=5,
            headers=KEYED,
            checks=[status(200), json_pointer("/id", equals="{item}")],
        ),
        "PUT": put(
            f"{path}/{{item}}",
            name=f"replace {path}",
            headers=KEYED,
            json_body={"note": "replaced by a load test"},
            checks=[status(200), json_pointer("/id", equals="{item}")],
        ),
        "DELETE": delete(
            f"{path}/{{old}}", name=f"delete {path}", headers=KEYED, checks=[status(200)]
        ),
    }
    return [requests[method] for method in route.methods if method in requests]


def crud(service: Service) -> list[Request]:
    """What its routes allow; those with a variable other than the item's id are left out."""
    collections = {route.path for route in service.routes if "{" not in route.path}
    return [
        request
        for route in service.routes
        for request in (
            on_collection(route)
            if route.path in collections
            else on_item(route)
            if route.path.rpartition("/")[0] in collections
            else []
        )
    ]


def audit_of(service: Service, mix: list[Request]) -> Audit | None:
    """Reading back what the first collection's create has made, where it can be read by its id."""
    creates = {request.path: request.name for request in mix if request.method == "POST"}
    for route in service.routes:
        base = route.path.rpartition("/")[0]
        if "GET" in route.methods and route.path.endswith("}") and base in creates:
            return Audit(
                write=creates[base],
                id="new",
                read=f"{base}/{{id}}",
                canary=f"{base}/1",
                expected='"id":"1"',
            )
    return None


class CrudUser(TrafficUser):
    """The documented generic API of every service."""

    service = service_asked().name
    feeds = {
        "item": zipf(1000, s=1.1),
        "new": uuid(),
        "old": sequence(start=100_000),
        "key": uniform(1, 20_000),
    }
    mix = crud(service_asked())
    audit = audit_of(service_asked(), mix)
