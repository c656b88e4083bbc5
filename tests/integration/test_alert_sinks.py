"""What a sink makes of each way in which a real receiver fails: worth another try, or final."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fraudline.core.errors import UnavailableError
from fraudline.ops.local.process import free_port
from fraudline.stream.alert_senders import open_sink
from fraudline.stream.alert_sinks import EmailSink, PartlyTakenError, RefusedError, WebhookSink, send_once
from fraudline.stream.params import StreamParams
from tests.support.certificates import Authority
from tests.support.receivers import hook, mail_server

pytestmark = pytest.mark.integration

EVENT = {
    "type": "fraudline.alert.v1", "subject": "t-0", "route": "each",
    "data": {"summary": "a test", "transaction_id": "t-0", "decision": "review", "decided_at": 1, "merchant_id": "m"},
}  # fmt: skip


def post(settings: Any) -> tuple[str, ...]:
    sink = open_sink(settings, StreamParams())
    try:
        return sink.send(EVENT, "each:1")
    finally:
        sink.close()


@pytest.fixture(scope="module")
def mail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Any], list[Any]]]:
    """Settings of a sink that works, and what the server was sent."""
    folder, authority = tmp_path_factory.mktemp("mail"), Authority()
    (folder / "ca.pem").write_bytes(authority.pem)
    (folder / "password").write_text("right")
    with mail_server(*authority.write_server(folder), "router", "right") as (port, received):
        settings = {
            "kind": "email", "host": "localhost", "port": port, "ca": str(folder / "ca.pem"), "user": "router",
            "password": {"file": str(folder / "password")}, "sender": "fraudline@example.com",
            "to": ["desk@example.com"],
        }  # fmt: skip
        yield settings, received


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"to": ["nobody@example.com"]}, RefusedError, "550"),
        ({"to": ["later@example.com"]}, UnavailableError, "450"),
        ({"password": {"env": "WRONG_PASSWORD"}}, UnavailableError, "535"),
        ({"password": {"env": "NOT_SET"}}, UnavailableError, "NOT_SET is not there"),
        ({"ca": ""}, UnavailableError, "certificate"),
        ({"port": "free"}, UnavailableError, "does not answer"),
    ],
)
def test_a_mail_server_that_fails_is_tried_again_and_one_that_refuses_is_not(
    mail: tuple[dict[str, Any], list[Any]],
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    error: type[Exception],
    said: str,
) -> None:
    settings, received = mail
    monkeypatch.setenv("WRONG_PASSWORD", "wrong")
    if changes.get("port") == "free":  # one of the collection may be taken by now
        changes = {"port": free_port()}
    with pytest.raises(error, match=said):
        post(EmailSink(**{**settings, **changes}))
    assert received == []


def test_an_address_that_is_refused_is_named_and_keeps_the_mail_from_no_other(
    mail: tuple[dict[str, Any], list[Any]],
) -> None:
    settings, received = mail
    refused = post(EmailSink(**{**settings, "to": ["nobody@example.com", "desk@example.com"]}))
    (message,) = received
    assert refused == ("nobody@example.com: 550 5.1.1 No such user",)
    received.clear()
    assert message["Message-ID"] == "<each.1@fraudline>"


def test_an_address_that_is_refused_for_now_is_tried_again_and_the_others_do_not_get_it_twice(
    mail: tuple[dict[str, Any], list[Any]],
) -> None:
    settings, received = mail
    to = ["desk@example.com", "busy@example.com", "later@example.com", "nobody@example.com"]
    sink = open_sink(EmailSink(**{**settings, "to": to}), StreamParams())
    for now in ("busy@example.com, later@example.com", "later@example.com", "later@example.com"):
        with pytest.raises(PartlyTakenError, match=f"does not take it for {now} yet") as caught:
            sink.send(EVENT, "each:1")
    assert [message["X-Reached"] for message in received] == ["desk@example.com", "busy@example.com"]
    assert caught.value.refused == (
        "nobody@example.com: 550 5.1.1 No such user", "later@example.com: 450 4.2.0 Try again later"
    )  # fmt: skip
    assert send_once(sink, EVENT, "each:1") == caught.value.refused
    received.clear()
    with pytest.raises(PartlyTakenError):  # another event goes to all again
        sink.send(EVENT, "each:2")
    assert [message["X-Reached"] for message in received] == ["desk@example.com, busy@example.com"]
    received.clear()


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, RefusedError), (410, RefusedError), (302, RefusedError), (429, UnavailableError), (500, UnavailableError)],
)
def test_a_webhook_that_is_overloaded_is_tried_again_and_one_that_refuses_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int, error: type[Exception]
) -> None:
    (tmp_path / "secret").write_text("whsec_AAAA")
    with hook() as kept:
        kept.answers = [status]
        with pytest.raises(error, match=str(status)):
            post(WebhookSink(kind="webhook", url=kept.url, secret={"file": str(tmp_path / "secret")}))
        (tmp_path / "secret").write_text("whsec_A")
        with pytest.raises(UnavailableError, match="no base64"):
            post(WebhookSink(kind="webhook", url=kept.url, secret={"file": str(tmp_path / "secret")}))
        (tmp_path / "secret").unlink()
        with pytest.raises(UnavailableError, match="is not there"):
            post(WebhookSink(kind="webhook", url=kept.url, secret={"file": str(tmp_path / "secret")}))
        assert len(kept.requests) == 1, "nothing goes out unsigned"


def test_an_overloaded_webhook_whose_words_do_not_come_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", "not a real key")
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as pool:
        asked = threading.Event()

        def answer() -> None:
            with server.accept()[0] as client:
                client.recv(65_536)
                client.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 500\r\n\r\n")
                asked.wait(10)

        pool.submit(answer)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        settings = WebhookSink(kind="webhook", url=url, secret={"env": "HOOK_SECRET"}, timeout_s=2.0)
        try:
            with pytest.raises(UnavailableError, match="answers 503"):
                post(settings)
        finally:
            asked.set()
