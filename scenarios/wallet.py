"""wallet: a programmable wallet; balances are read, transfers are written once and only once."""

from harness.traffic import Audit, get, json_pointer, post, status, uniform, uuid, zipf
from harness.traffic.collection import KEYED
from harness.traffic.user import TrafficUser


class WalletUser(TrafficUser):
    """Balances, positions and transfers."""

    service = "wallet"
    audit = Audit(
        write="transfer",
        id="transfer",
        read="/api/wallet/{id}",
        canary="/api/wallet/1",
        expected='"id":"1"',
    )
    feeds = {"wallet": zipf(1000, s=1.08), "transfer": uuid(), "key": uniform(1, 20_000)}
    mix = [
        get(
            "/api/wallet/{wallet}",
            name="balance",
            weight=55,
            headers=KEYED,
            checks=[status(200), json_pointer("/id", equals="{wallet}")],
        ),
        post(
            "/api/wallet",
            name="transfer",
            weight=15,
            headers=KEYED,
            json_body={"id": "{transfer}", "from": "{wallet}", "amount": 1},
            checks=[status(201), json_pointer("/id", equals="{transfer}")],
        ),
        get(
            "/api/defi",
            name="positions",
            weight=20,
            headers=KEYED,
            checks=[status(200), json_pointer("/items")],
        ),
        get(
            "/api/analytics",
            name="analytics",
            weight=10,
            headers=KEYED,
            checks=[status(200), json_pointer("/items")],
        ),
    ]
