"""Undo records as a cluster keeps them: signed, so that only what a harness recorded is undone.

Whoever may write ConfigMaps, Deployments or nodes could else make `harness reap` act with the
operator's permissions. The signature is an HMAC (RFC 2104) with SHA-256 over the namespace and the
record; its key is a Secret of the namespace, or the environment variable HARNESS_UNDO_KEY where
others may read Secrets or create pods there.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from harness.errors import PlatformError, UsageError
from harness.platform.kubernetes.access import SECRET, is_gone, telling
from harness.platform.undo import ClusterUndo, UndoRecord, undo_record

if TYPE_CHECKING:
    from harness.platform.kubernetes.cluster import Cluster

VARIABLE = "HARNESS_UNDO_KEY"
KEY_BYTES = 32
LEAST_CHARACTERS = 32
FORBIDDEN, CONFLICT = 403, 409


@dataclass(frozen=True, slots=True)
class Kept:
    """A record as it was found in the cluster; None where the text is none of this lease."""

    record: UndoRecord | None
    signed: bool


NOTHING = Kept(None, signed=False)


class Seal:
    """Signs and checks the records of one namespace."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._key: bytes | None = None

    def sealed(self, record: UndoRecord) -> str:
        """The record with its signature, as text. The first of a namespace makes the key."""
        body = asdict(record)
        key = self._read_key() or self._make_key()
        return json.dumps({"record": body, "signature": self._sign(key, body)})

    def opened(self, text: str | None, lease: str) -> Kept:
        """What a text of the cluster holds of this lease.

        Without a key, or where this account may not read it, nothing is taken for signed.
        """
        try:
            found = json.loads(text or "")
            body = found.get("record", found)  # earlier versions did not sign
            record = undo_record(body)
        except (ValueError, RecursionError, AttributeError):
            return NOTHING
        if not isinstance(record.undo, ClusterUndo) or record.undo.lease != lease:
            return NOTHING
        key, signature = self._read_key(), found.get("signature")
        signed = key is not None and isinstance(signature, str) and signature.isascii()
        return Kept(record, signed and hmac.compare_digest(signature, self._sign(key, body)))

    def _sign(self, key: bytes | None, body: Mapping[str, object]) -> str:
        text = json.dumps([self._cluster.namespace, body], sort_keys=True)
        return hmac.new(key or b"", text.encode(), hashlib.sha256).hexdigest()

    def _read_key(self) -> bytes | None:
        given = os.environ.get(VARIABLE)
        if given is not None:
            if len(given) < LEAST_CHARACTERS:
                raise UsageError(
                    f"{VARIABLE} is shorter than {LEAST_CHARACTERS} characters",
                    "give a random one, e.g. of `openssl rand -hex 32`",
                )
            return given.encode()
        if self._key is None:
            with telling(f"secret {SECRET}"):
                try:
                    found = self._cluster.core.read_namespaced_secret(
                        SECRET, self._cluster.namespace
                    )
                except ApiException as problem:
                    if is_gone(problem) or problem.status == FORBIDDEN:
                        return None
                    raise
            self._key = _key_of(found)
        return self._key

    def _make_key(self) -> bytes:
        key = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
        body = client.V1Secret(metadata=client.V1ObjectMeta(name=SECRET), data={"key": key})
        with telling(f"secret {SECRET}"):
            try:
                self._cluster.core.create_namespaced_secret(self._cluster.namespace, body)
            except ApiException as problem:
                if problem.status != CONFLICT:  # another run was faster
                    raise
            found = self._cluster.core.read_namespaced_secret(SECRET, self._cluster.namespace)
        self._key = _key_of(found)
        return self._key


def _key_of(secret: client.V1Secret) -> bytes:
    """The key in a Secret; raises PlatformError for one that anybody could guess."""
    try:
        key = base64.b64decode((secret.data or {}).get("key") or "", validate=True)
    except ValueError:
        key = b""
    if len(key) < KEY_BYTES:
        raise PlatformError(
            f"secret {SECRET} holds no key of {KEY_BYTES} bytes",
            f"delete it: the next run makes another; set {VARIABLE} where others may write Secrets",
        )
    return key
