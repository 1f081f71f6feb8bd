"""bancai: finance; a dashboard that is opened often and transactions that must not be lost."""

from harness.traffic import Audit, get, json_pointer, post, status, uniform, uuid, zipf
from harness.traffic.collection import KEYED
from harness.traffic.user import TrafficUser


class BancaiUser(TrafficUser):
    """Look, look again, pay."""

    service = "bancai"
    audit = Audit(
        write="pay",
        id="payment",
        read="/api/transactions/{id}",
        canary="/api/accounts/1",
        expected='"id":"1"',
    )
    feeds = {"account": zipf(1000, s=1.02), "payment": uuid(), "key": uniform(1, 20_000)}
    mix = [
        get(
            "/api/dashboard",
            name="dashboard",
            weight=25,
            headers=KEYED,
            checks=[status(200), json_pointer("/items")],
        ),
        get(
            "/api/accounts/{account}",
            name="account",
            weight=30,
            headers=KEYED,
            checks=[status(200), json_pointer("/id", equals="{account}")],
        ),
        get(
            "/api/transactions",
            name="transactions",
            weight=20,
            headers=KEYED,
            checks=[status(200), json_pointer("/items")],
        ),
        post(
            "/api/transactions",
            name="pay",
            weight=10,
            headers=KEYED,
            json_body={"id": "{payment}", "account": "{account}", "amount": 12.5},
            checks=[status(201), json_pointer("/id", equals="{payment}")],
        ),
        get(
            "/api/market",
            name="market",
            weight=8,
            headers=KEYED,
            checks=[status(200), json_pointer("/items")],
        ),
        get(
            "/api/portfolio",
            name="portfolio",
            weight=4,
            headers=KEYED,
            checks=[status(200), json_pointer("/items")],
        ),
        get(
            "/api/insights",
            name="insights",
            weight=3,
            headers=KEYED,
            checks=[status(200), json_pointer("/items")],
        ),
    ]
