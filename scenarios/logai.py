"""logai: authentication; most traffic is profile reads, some of it whole log-ins in steps."""

from http import HTTPStatus
from uuid import uuid4

from harness.traffic import get, journey, json_pointer, post, status, uniform, uuid, zipf
from harness.traffic.collection import KEYED
from harness.traffic.user import TrafficUser


class LogaiUser(TrafficUser):
    """Sessions that are checked often and begun seldom."""

    service = "logai"
    feeds = {"user": zipf(1000, s=1.05), "new": uuid(), "key": uniform(1, 20_000)}
    mix = [
        get(
            "/api/user/profile/{user}",
            name="profile",
            weight=70,
            headers=KEYED,
            checks=[status(200), json_pointer("/id", equals="{user}")],
        ),
        post(
            "/api/auth/register",
            name="register",
            weight=10,
            headers=KEYED,
            json_body={"id": "{new}", "email": "{new}@example.org"},
            checks=[status(201), json_pointer("/id", equals="{new}")],
        ),
        post(
            "/api/mfa/verify",
            name="mfa",
            weight=14,
            headers=KEYED,
            json_body={"code": "123456"},
            checks=[status(201), json_pointer("/id")],
        ),
        get(
            "/api/admin/users",
            name="admin list",
            weight=5,
            headers=KEYED,
            checks=[status(200), json_pointer("/items")],
        ),
    ]

    @journey(weight=0.2, name="log in, then act")
    def login_then_act(self) -> None:
        """Register, confirm the second factor, save the profile and read it back.

        Each step needs the answer of the one before: a template cannot do that.
        """
        key = {"x-api-key": f"load-{uuid4()}"}
        made = self.client.post(
            "/api/auth/register", json={"plan": "free"}, headers=key, name="journey register"
        )
        if made.status_code != HTTPStatus.CREATED:
            return  # counted as failed already
        account = made.json()["id"]
        profile = f"/api/user/profile/{account}"
        self.client.post(
            "/api/mfa/verify", json={"account": account}, headers=key, name="journey mfa"
        )
        self.client.put(profile, json={"theme": "dark"}, headers=key, name="journey save")
        with self.client.get(
            profile, headers=key, name="journey profile", catch_response=True
        ) as answer:
            if answer.status_code == HTTPStatus.OK and answer.json()["id"] != account:
                answer.failure(f"asked for {account}, got another profile")
