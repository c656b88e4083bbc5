"""A log in memory behind the transport protocol, with failures on demand."""

from collections.abc import Iterator, Mapping, Sequence

from fraudline.core.errors import FraudlineError
from fraudline.stream.messages import Transaction, encode
from fraudline.stream.transport import Output, Record

GOOD = Transaction(
    transaction_id="t-0",
    event_time=1_767_225_600_000_000,
    card_id="c-0",
    merchant_id="m-0",
    category=5411,
    amount_minor=1_250,
    currency="EUR",
    channel="pos",
    card_present=True,
    country="DE",
    latitude=52.5,
    longitude=13.4,
)


def record(offset: int, value: bytes | None, partition: int = 0) -> Record:
    return Record("transactions", partition, offset, 1_767_225_600_000 + offset, b"key", value)


def log_of(transactions: Sequence[Transaction], partition: int = 0) -> list[Record]:
    return [record(offset, encode(transaction), partition) for offset, transaction in enumerate(transactions)]


class FakeTransport:
    """One partition a list; a transaction succeeds whole, or raises the next error of ``failures`` and does nothing."""

    def __init__(self, logs: Mapping[int, list[Record]]) -> None:
        self.logs = dict(logs)
        self.committed: dict[int, int] = {}
        self.outputs: list[Output] = []
        self.failures: list[FraudlineError] = []
        self.begins = 0
        self.epoch = 1
        self.recoveries = self.rehearsals = 0
        self.appended_at = 0.0
        self.closed = False
        self._positions = dict.fromkeys(logs, 0)

    def assignment(self) -> frozenset[int]:
        return frozenset(self.logs)

    def partitions(self) -> int:
        return len(self.logs)

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        found: list[Record] = []
        for partition, log in self.logs.items():
            at = self._positions[partition]
            part = [entry for entry in log if entry.offset >= at][: max_records - len(found)]
            if part:
                self._positions[partition] = part[-1].offset + 1
                found += part
        return found

    def rehearse(self) -> None:
        self.rehearsals += 1

    def transact(self, outputs: Sequence[Output], offsets: Mapping[int, int]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.outputs += outputs
        self.committed.update(offsets)

    def recover(self) -> None:
        self.recoveries += 1
        self.epoch += 1
        self._positions = {partition: self.committed.get(partition, 0) for partition in self.logs}

    def read(self, partition: int, start: int, end: int) -> Iterator[list[Record]]:
        for entry in self.logs[partition]:
            if max(start, self.begins) <= entry.offset < end:
                yield [entry]

    def beginning(self, partition: int) -> int:
        return self.begins

    def end(self, partition: int) -> int:
        return max([self.begins, *(entry.offset + 1 for entry in self.logs[partition])])

    def group_offset(self, partition: int) -> int | None:
        return self.committed.get(partition)

    def lag(self) -> int:
        return sum(len(log) - self._positions[partition] for partition, log in self.logs.items())

    def close(self) -> None:
        self.closed = True
