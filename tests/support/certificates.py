"""A certificate authority for one test run, and a server certificate for this machine's loopback."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID = timedelta(days=2)


def write(authority: Path, server: Path) -> None:
    """`authority`: the certificate to trust. `server`: private key and certificate for localhost and 127.0.0.1. Both PEM."""
    ca_key, key = generate_private_key(SECP256R1()), generate_private_key(SECP256R1())
    ca_name = _name("YRD tests authority")
    ca = _signed(_builder(ca_name, ca_key, ca_key, ca_name, authority=True), ca_key)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    leaf = _builder(_name("localhost"), key, ca_key, ca_name, authority=False).add_extension(names, critical=False)
    authority.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    server.touch(mode=0o600)
    server.write_bytes(private + _signed(leaf, ca_key).public_bytes(serialization.Encoding.PEM))


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(
    subject: x509.Name, key: EllipticCurvePrivateKey, ca_key: EllipticCurvePrivateKey, issuer: x509.Name, *, authority: bool
) -> x509.CertificateBuilder:
    """What RFC 5280 asks of both certificates, and Python's strict verification with it."""
    now = datetime.now(UTC)
    usage = x509.KeyUsage(
        digital_signature=not authority, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=authority, crl_sign=authority, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number(), now - VALID, now + VALID)
    builder = builder.add_extension(x509.BasicConstraints(authority, 0 if authority else None), critical=True)
    builder = builder.add_extension(usage, critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    if authority:
        return builder
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    builder = builder.add_extension(issuer_key, critical=False)
    return builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)


def _signed(builder: x509.CertificateBuilder, key: EllipticCurvePrivateKey) -> x509.Certificate:
    return builder.sign(key, hashes.SHA256())
