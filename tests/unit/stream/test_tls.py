"""What a failed first connection is put down to."""

import socket
import ssl
import threading
from pathlib import Path

import pytest

from fraudline.core.errors import UnavailableError
from fraudline.stream import tls as module
from fraudline.stream.tls import Tls, awaited
from tests.support.certificates import Authority


def test_a_server_that_says_nothing_after_tls_is_not_put_down_to_the_password_alone(tmp_path: Path) -> None:
    authority = Authority()
    certificate, key = authority.write_server(tmp_path)
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    (tmp_path / "password").write_text("right")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    tls = Tls(ca=str(tmp_path / "ca.pem"), username="worker", password_file=str(tmp_path / "password"))
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def silent() -> None:
            with context.wrap_socket(listening.accept()[0], server_side=True) as secure:
                secure.recv(1)

        thread = threading.Thread(target=silent, daemon=True)
        thread.start()
        with (
            pytest.raises(UnavailableError, match=r"refused the user or its password.*or it did not answer") as caught,
            tls.explained(f"127.0.0.1:{listening.getsockname()[1]}"),
        ):
            raise UnavailableError("The broker did not answer in time.", "Look.")
        thread.join(120)
    assert "password file" in caught.value.action
    assert "look at the broker" in caught.value.action


class Said:
    """Hears what is logged."""

    def __init__(self) -> None:
        self.broker = ""
        self.heard = threading.Event()

    def warning(self, _event: str, *, bootstrap: str) -> None:
        self.broker = bootstrap
        self.heard.set()


def test_a_broker_that_is_waited_for_is_named_while_it_is_and_no_other_is(monkeypatch: pytest.MonkeyPatch) -> None:
    said = Said()
    monkeypatch.setattr(module, "log", said)
    monkeypatch.setattr(module, "_MOMENT_S", 0.01)
    with awaited("kafka.example:9092"):
        assert said.heard.wait(120)
    assert said.broker == "kafka.example:9092"
    monkeypatch.setattr(module, "_MOMENT_S", 3_600.0)
    before = set(threading.enumerate())
    with awaited("quick.example:9092"):
        pass
    for thread in set(threading.enumerate()) - before:
        thread.join(120)
    assert set(threading.enumerate()) <= before, "whoever waits no more is still looked after"


def test_a_broker_whose_handshake_takes_too_long_is_not_put_down_to_a_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PROBE_S", 0.3)
    (tmp_path / "ca.pem").write_bytes(Authority().pem)
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,  # the kernel takes the connection, nobody answers
        pytest.raises(UnavailableError, match=r"takes connections, but answered nothing in 0\.3 s") as caught,
        Tls(ca=str(tmp_path / "ca.pem")).explained(f"127.0.0.1:{listening.getsockname()[1]}"),
    ):
        raise UnavailableError("The broker did not answer in time.", "Look.")
    assert "may be slow" in caught.value.action


@pytest.mark.parametrize("wrong", ["ca", "certificate", "key"])
def test_files_that_cannot_be_used_are_not_put_down_to_the_broker(tmp_path: Path, wrong: str) -> None:
    authority = Authority()
    certificate, key = authority.write_client("worker", tmp_path)
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    (tmp_path / "none.pem").write_text("no certificate")
    files = {"ca": str(tmp_path / "ca.pem"), "certificate": str(certificate), "key": str(key)}
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        pytest.raises(UnavailableError, match="certificates of this client cannot be used"),
        Tls(**files | {wrong: str(tmp_path / "none.pem")}).explained(f"127.0.0.1:{listening.getsockname()[1]}"),
    ):
        raise UnavailableError("The broker did not answer in time.", "Look.")
