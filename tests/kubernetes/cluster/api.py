"""The few calls to the API server that the fixture itself makes."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import Any

import httpx

TIMEOUT_S = 5.0


class Api:
    """The API server that a kubeconfig of `pki.Users` names."""

    def __init__(self, kubeconfig: Path) -> None:
        described = json.loads(kubeconfig.read_text())
        cluster = described["clusters"][0]["cluster"]
        token = described["users"][0]["user"]["token"]
        self._client = httpx.Client(
            base_url=cluster["server"],
            headers={"Authorization": f"Bearer {token}"},
            verify=ssl.create_default_context(cafile=cluster["certificate-authority"]),
            timeout=TIMEOUT_S,
            trust_env=False,
        )

    def serves(self) -> bool:
        """Whether the API server is ready and has made its own roles and namespaces."""
        try:
            ready = self._client.get("/readyz").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False
        return ready and bool(self.get("/api/v1/namespaces/kube-system"))

    def get(self, path: str) -> dict[str, Any]:
        """An object or list; empty where there is none or no answer."""
        try:
            answer = self._client.get(path)
        except httpx.TransportError:
            return {}
        found: dict[str, Any] = answer.json() if answer.is_success else {}
        return found

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
