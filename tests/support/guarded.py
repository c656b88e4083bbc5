"""A real broker that asks who its clients are."""

from pathlib import Path

from kafka import KafkaAdminClient
from kafka.admin import ScramMechanism, UserScramCredentialUpsertion

from fraudline.ops.local.kafka import LocalKafka
from fraudline.ops.local.process import free_port
from fraudline.stream.tls import Tls
from tests.support.broker import CACHE
from tests.support.certificates import Authority


class GuardedKafka(LocalKafka):
    """A broker with two more listeners, for clients with certificates and for users with passwords; rules hold there.

    The plain listener is the administrator's.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, cache=CACHE)
        self.authority = Authority()
        self._tls_port, self._sasl_port = free_port(), free_port()

    @property
    def guarded(self) -> str:
        return f"127.0.0.1:{self._tls_port}"

    @property
    def with_password(self) -> str:
        return f"127.0.0.1:{self._sasl_port}"

    def add_user(self, name: str, password: str, mechanism: str = "SCRAM-SHA-512") -> Tls:
        """Make a user with a password, in a file."""
        file = self.folder / f"{name}.password"
        file.write_text(f"{password}\n")
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        kind = ScramMechanism[mechanism.replace("-", "_")]
        admin.alter_user_scram_credentials([UserScramCredentialUpsertion(name, kind, password.encode())])
        admin.close()
        return Tls(ca=str(self.folder / "ca.pem"), username=name, password_file=str(file), mechanism=mechanism)

    def user(self, name: str) -> Tls:
        """The certificate of a user."""
        certificate, key = self.authority.write_client(name, self.folder / "users" / name)
        return Tls(ca=str(self.folder / "ca.pem"), certificate=str(certificate), key=str(key))

    def _write_properties(self) -> Path:
        path = super()._write_properties()
        certificate, key = self.authority.write_server(self.folder)
        (self.folder / "server.pem").write_bytes(key.read_bytes() + certificate.read_bytes())
        (self.folder / "ca.pem").write_bytes(self.authority.pem)
        lines = dict(line.partition("=")[::2] for line in path.read_text().splitlines())
        tls = f"TLS://{self.guarded},LOGIN://{self.with_password}"
        lines |= {
            "listeners": f"{lines['listeners']},{tls}",
            "advertised.listeners": f"{lines['advertised.listeners']},{tls}",
            "listener.security.protocol.map": f"{lines['listener.security.protocol.map']},TLS:SSL,LOGIN:SASL_SSL",
            "sasl.enabled.mechanisms": "SCRAM-SHA-256,SCRAM-SHA-512",
            "listener.name.tls.ssl.client.auth": "required",
            **{
                f"listener.name.login.scram-sha-{size}.sasl.jaas.config": (
                    "org.apache.kafka.common.security.scram.ScramLoginModule required;"
                )
                for size in (256, 512)
            },
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.folder / "server.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.folder / "ca.pem"),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
        }
        path.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
        return path
