"""logai: authentication; most traffic is profile reads, some of it whole log-ins in steps."""

from harness.traffic import get, journey, json_pointer, post, status, uniform, uuid, zipf
from harness.traffic.user import TrafficUser

KEYED = {"x-api-key": "load-{key}"}


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
            checks=[status(201)],
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
    def log_in_then_act(self) -> None:
        """Register, confirm the second factor, read the profile just made: each step needs the
        answer of the one before.
        """
        made = self.client.post(
            "/api/auth/register", json={"plan": "free"}, name="journey register"
        )
        account = made.json()["id"]
        self.client.post("/api/mfa/verify", json={"account": account}, name="journey mfa")
        self.client.get("/api/user/profile/1", name="journey profile")
