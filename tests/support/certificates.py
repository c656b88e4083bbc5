"""A certificate authority of the tests' own, and certificates of servers on this machine."""

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_PKCS8 = serialization.PrivateFormat.PKCS8
_DAY = datetime.timedelta(days=1)


class Authority:
    """Signs for 127.0.0.1 and localhost; its own key never leaves the process."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fraudline-tests")])
        public = self._key.public_key()
        builder = _builder(self._name, self._name, public)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(_signs_certificates(), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        self.certificate = builder.sign(self._key, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        """The authority's certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def write_server(self, folder: Path) -> tuple[Path, Path]:
        """Write ``tls.crt`` and ``tls.key`` of a server on loopback; their paths."""
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        return self._write("localhost", folder / "tls", x509.SubjectAlternativeName(names))

    def write_client(self, name: str, folder: Path) -> tuple[Path, Path]:
        """Write ``user.crt`` and ``user.key`` of a client, as Strimzi names them in its secret; their paths."""
        return self._write(name, folder / "user")

    def _write(self, name: str, stem: Path, *extensions: x509.ExtensionType) -> tuple[Path, Path]:
        stem.parent.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, self._name, key.public_key())
        by = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())  # Python 3.13 asks for it
        for extension in (by, *extensions):
            builder = builder.add_extension(extension, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        paths = stem.with_suffix(".crt"), stem.with_suffix(".key")
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(pem_of(key))
        return paths


def pem_of(key: ec.EllipticCurvePrivateKey, form: serialization.PrivateFormat = _PKCS8) -> bytes:
    """A private key as it is read from a file."""
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def write_signing_key(path: Path) -> Path:
    """A key that the API server signs tokens of service accounts with; of PKCS 8 it takes public ones only."""
    form = serialization.PrivateFormat.TraditionalOpenSSL
    path.write_bytes(pem_of(ec.generate_private_key(ec.SECP256R1()), form))
    return path


def _signs_certificates() -> x509.KeyUsage:
    no = dict.fromkeys(
        ("key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"), False
    )
    return x509.KeyUsage(digital_signature=False, content_commitment=False, key_cert_sign=True, crl_sign=True, **no)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
    )
