"""The keys of one cluster: an authority, what it signs, a token per user, kubeconfigs."""

from __future__ import annotations

import datetime as dt
import ipaddress
import secrets
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.kubernetes.cluster.machine import write_json

VALID = dt.timedelta(days=30)


def _name(common: str, organization: str | None = None) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if organization:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(parts)


def _write_key(key: ec.EllipticCurvePrivateKey, path: Path) -> None:
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


class Authority:
    """A certificate authority in `directory`: `<name>.crt` is what a client trusts."""

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = directory
        self.subject = _name(name)
        self.key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            self._builder(self.subject, self.key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self.key, SHA256())
        )
        self.file = directory / f"{name}.crt"
        self.file.write_bytes(certificate.public_bytes(Encoding.PEM))

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .issuer_name(self.subject)
            .subject_name(subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + VALID)
        )

    def issue(
        self,
        file: str,
        common: str,
        organization: str | None = None,
        hosts: Iterable[str] = (),
        addresses: Iterable[str] = (),
    ) -> None:
        """Write `<file>.crt` and `.key`: a server's with hosts or addresses, else a client's."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(host) for host in hosts]
        names += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        use = ExtendedKeyUsageOID.SERVER_AUTH if names else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = self._builder(_name(common, organization), key.public_key()).add_extension(
            x509.ExtendedKeyUsage([use]), critical=False
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self.key, SHA256())
        (self.directory / f"{file}.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
        _write_key(key, self.directory / f"{file}.key")


def signing_key(directory: Path, name: str) -> None:
    """Write `<name>.key` and `<name>.pub`, for the tokens of service accounts."""
    key = ec.generate_private_key(ec.SECP256R1())
    _write_key(key, directory / f"{name}.key")
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (directory / f"{name}.pub").write_bytes(public)


class Users:
    """Users of the API server, each known by a token, written as its token file."""

    def __init__(self, directory: Path, server: str, authority: Path) -> None:
        self.directory = directory
        self.server = server
        self.authority = authority
        self.file = directory / "tokens.csv"
        self.file.touch(mode=0o600)

    def add(self, user: str, group: str = "") -> Path:
        """A new user's kubeconfig."""
        token = secrets.token_hex(16)
        with self.file.open("a") as file:
            file.write(f'{token},{user},{user},"{group}"\n')
        name = user.rpartition(":")[2]
        path = self.directory / f"{name}.kubeconfig"
        path.touch(mode=0o600)
        return write_json(
            path,
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [
                    {
                        "name": "fixture",
                        "cluster": {
                            "server": self.server,
                            "certificate-authority": str(self.authority),
                        },
                    }
                ],
                "users": [{"name": name, "user": {"token": token}}],
                "contexts": [{"name": "fixture", "context": {"cluster": "fixture", "user": name}}],
                "current-context": "fixture",
            },
        )
