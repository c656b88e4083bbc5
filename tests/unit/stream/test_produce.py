import threading
import time

import pytest

from fraudline.core.errors import UsageError
from fraudline.features.spec import load_spec
from fraudline.stream import produce as module
from fraudline.stream.decoding import Decoder
from fraudline.stream.produce import messages_of, produce
from fraudline.stream.transport import Output, open_sender, open_transport
from tests.support.datasets import small_tables


class FakeSender:
    def __init__(self) -> None:
        self.sent: list[Output] = []
        self.closed = False

    def send(self, output: Output) -> None:
        self.sent.append(output)

    def flush(self) -> None:
        return

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch) -> FakeSender:
    fake = FakeSender()
    monkeypatch.setattr(module, "open_sender", lambda *_, **__: fake)
    return fake


def test_rows_become_messages_that_the_worker_takes_unchanged() -> None:
    table = small_tables()[0].slice(0, 300)
    decoder = Decoder(load_spec().currencies)
    rows = table.to_pylist()
    for row, message in zip(rows, messages_of(table), strict=True):
        assert decoder.decode(module.output_of("t", message).value) == message
        assert (message.transaction_id, message.amount_minor) == (row["transaction_id"], row["amount_minor"])
        assert message.event_time == int(row["event_time"].timestamp() * 1_000_000)


def test_transactions_go_out_in_order_keyed_by_card(sender: FakeSender) -> None:
    table = small_tables()[0].slice(0, 2_500)
    seen: list[int] = []
    result = produce([table.slice(0, 1_200), table.slice(1_200)], bootstrap="x", on_progress=seen.append)
    assert result.transactions == 2_500 == seen[-1]
    assert [output.key.decode() for output in sender.sent] == table["card_id"].to_pylist()
    assert sender.closed


def test_a_limit_ends_it(sender: FakeSender) -> None:
    assert produce([small_tables()[0]], bootstrap="x", limit=7).transactions == 7


def test_the_rate_is_kept(sender: FakeSender) -> None:
    table = small_tables()[0].slice(0, 200)
    begun = time.monotonic()
    assert produce([table], bootstrap="x", rate=400).transactions == 200
    assert time.monotonic() - begun >= 0.45, "a slow machine may take longer, and none takes less"


def test_a_stop_ends_it(sender: FakeSender) -> None:
    stop = threading.Event()
    result = produce([small_tables()[0]], bootstrap="x", rate=100, stop=stop, on_progress=lambda _: stop.set())
    assert 0 < result.transactions < 100
    assert sender.closed


@pytest.mark.parametrize("call", [open_sender, open_transport])
def test_a_transport_that_is_not_there_is_named(call) -> None:
    with pytest.raises(UsageError, match="'pigeon'.*kafka-python, confluent"):
        call("pigeon", "x")
