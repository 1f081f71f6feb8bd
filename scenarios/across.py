"""across: log in at logai, remember at memorai, pay at wallet; each hop has figures of its own.

    harness perf logai --scenario across --rate 20 --duration 30s

A hop that fails ends the journey: later ones are not counted.
"""

from http import HTTPStatus
from uuid import uuid4

from harness.traffic import journey, url_of
from harness.traffic.user import TrafficUser


class AcrossUser(TrafficUser):
    """Somebody who logs in, is remembered and pays."""

    service = "logai"
    across = ("memorai", "wallet")

    @journey(name="log in, remember, pay")
    def pay(self) -> None:
        """Each hop needs the answer of the one before."""
        key = {"x-api-key": f"load-{uuid4()}"}
        made = self.client.post(
            "/api/auth/register", json={"plan": "free"}, headers=key, name="logai: log in"
        )
        if made.status_code != HTTPStatus.CREATED:
            return
        account = made.json()["id"]
        kept = self.client.post(
            f"{url_of('memorai')}/api/memory/remember",
            json={"account": account, "text": "pays at once"},
            headers=key,
            name="memorai: remember",
        )
        if kept.status_code != HTTPStatus.CREATED:
            return
        transfer = {"from": account, "amount": 1, "reason": kept.json()["id"]}
        wallet = f"{url_of('wallet')}/api/wallet"
        paid = self.client.post(wallet, json=transfer, headers=key, name="wallet: pay")
        if paid.status_code != HTTPStatus.CREATED:
            return
        with self.client.get(
            f"{wallet}/{paid.json()['id']}",
            headers=key,
            name="wallet: receipt",
            catch_response=True,
        ) as answer:
            if answer.status_code == HTTPStatus.OK and account not in answer.text:
                answer.failure(f"the receipt is not of {account}")
