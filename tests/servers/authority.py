"""A certificate authority of the tests' own."""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

DAY = dt.timedelta(days=1)


class Authority:
    """Signs server certificates; `file` is its own certificate, for a client to trust."""

    def __init__(self, folder: Path, name: str = "test authority") -> None:
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.key = ec.generate_private_key(ec.SECP256R1())
        # Of the nine uses of RFC 5280 (4.2.1.3) an authority has keyCertSign and cRLSign.
        usage = x509.KeyUsage(*(use in {5, 6} for use in range(9)))
        certificate = (
            self._builder(self.name, self.key.public_key(), dt.timedelta())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(self.key, SHA256())
        )
        self.file = folder / "authority.pem"
        self.file.write_bytes(certificate.public_bytes(Encoding.PEM))

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, age: dt.timedelta
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC) - age
        return (
            x509.CertificateBuilder()
            .issuer_name(self.name)
            .subject_name(subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + 2 * DAY)
        )

    def issue(self, name: str, *, age: dt.timedelta = dt.timedelta()) -> dict[str, bytes]:
        """`server.pem` and `server.key` for `name` and 127.0.0.1, for 2 days from `age` ago."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        certificate = (
            self._builder(subject, key.public_key(), age)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self.key, SHA256())
        )
        pem = PrivateFormat.TraditionalOpenSSL
        return {
            "server.pem": certificate.public_bytes(Encoding.PEM),
            "server.key": key.private_bytes(Encoding.PEM, pem, NoEncryption()),
        }
