"""The list of blocked cards is always what the log says, with what this worker committed and has not read back."""

from collections.abc import Iterator

import msgspec
import pytest

from fraudline.stream.blocked import BlockedCards
from fraudline.stream.messages import BlockedCard, encode
from fraudline.stream.transport import Record

HOUR = 3_600_000_000


class Log:
    """A partitioned log in memory; what lies above ``settled`` belongs to a transaction that is still open."""

    def __init__(self) -> None:
        self.records: dict[int, list[Record]] = {0: [], 1: []}
        self.settled: dict[int, int] = {}
        self.waited = False

    def append(self, partition: int, card: str, entry: BlockedCard | None) -> None:
        log, value = self.records[partition], None if entry is None else encode(entry)
        log.append(Record("blocked-cards", partition, len(log), 0, card.encode(), value))

    def ends(self, partitions, *, settled: bool) -> dict[int, int]:
        return {p: self.settled.get(p, len(self.records[p])) if settled else len(self.records[p]) for p in partitions}

    def read(self, partition: int, start: int, end: int) -> Iterator[list[Record]]:
        self.waited = self.waited or end > self.settled.get(partition, end)
        yield from ([record] for record in self.records[partition][start:end])

    def close(self) -> None:
        pass


def entry(card: str = "c", *, until: int = HOUR, by: str = "worker", why: str = "w") -> BlockedCard:
    return BlockedCard(card_id=card, until=until, blocked_at=0, by=by, why=why)


@pytest.fixture
def log() -> Log:
    return Log()


def test_a_card_blocks_until_its_time_is_over(log: Log) -> None:
    log.append(0, "c", entry())
    cards = BlockedCards(log)
    cards.align(0)
    assert cards.blocked(0, "c", HOUR - 1) == entry()
    assert cards.blocked(0, "c", HOUR) is None
    assert cards.blocked(0, "d", 0) is None
    assert cards.blocked(1, "c", 0) is None


def test_what_a_batch_puts_there_holds_at_once_and_is_gone_when_the_batch_is_given_up(log: Log) -> None:
    cards = BlockedCards(log)
    cards.align(0)
    cards.put(0, entry())
    assert cards.blocked(0, "c", 0) == entry()
    cards.abandoned()
    cards.align(0)
    assert cards.blocked(0, "c", 0) is None
    cards.put(0, entry())
    cards.committed()
    assert cards.blocked(0, "c", 0) == entry()


def test_a_batch_whose_commit_was_in_doubt_is_found_in_the_log(log: Log) -> None:
    cards = BlockedCards(log)
    cards.align(0)
    cards.put(0, entry())
    log.append(0, "c", entry())
    cards.abandoned()
    cards.align(0)
    assert cards.blocked(0, "c", 0) == entry()


def test_a_new_owner_goes_by_the_log_alone_even_where_it_wrote_an_entry_that_is_gone_from_it(log: Log) -> None:
    cards = BlockedCards(log)
    cards.align(0)
    cards.put(0, entry())
    cards.committed()
    log.append(0, "c", None)  # another worker owned the partition meanwhile, and the entry was compacted away
    cards.align(0)
    assert cards.blocked(0, "c", 0) is None


def test_changes_by_others_count_in_the_order_of_the_log_around_what_the_worker_wrote(log: Log) -> None:
    cards = BlockedCards(log)
    cards.align(0)
    log.append(0, "c", entry(by="ada", why="early"))
    log.append(0, "c", None)
    cards.put(0, entry())
    log.append(0, "c", entry())
    cards.committed()
    log.settled = {0: 2}
    cards.follow([0])
    assert cards.blocked(0, "c", 0) == entry(), "an unblocking before the worker's own entry must not undo it"
    log.settled = {}
    log.append(0, "c", None)
    cards.follow([0])
    assert cards.blocked(0, "c", 0) is None
    assert len(cards) == 0


def test_a_card_that_was_listed_before_is_blocked_for_as_long_as_the_workers_newer_entry_says(log: Log) -> None:
    log.append(0, "c", entry(by="ada"))
    cards = BlockedCards(log)
    cards.align(0)
    longer = entry(until=2 * HOUR)
    cards.put(0, longer)
    cards.committed()
    assert cards.blocked(0, "c", HOUR) == longer, "although only the older one was read yet"


def test_a_new_owner_waits_for_the_transaction_of_the_one_before(log: Log) -> None:
    log.append(0, "c", entry())
    log.settled = {0: 0}
    cards = BlockedCards(log)
    cards.align(0)
    assert log.waited
    assert cards.blocked(0, "c", 0) == entry()


def test_a_partition_that_went_to_another_worker_is_forgotten_and_read_again_when_it_comes_back(log: Log) -> None:
    cards = BlockedCards(log)
    for partition in (0, 1):
        log.append(partition, f"c-{partition}", entry(f"c-{partition}"))
        cards.align(partition)
    cards.follow([1])
    assert cards.blocked(0, "c-0", 0) is None
    log.append(0, "c-0", None)
    log.append(0, "c-9", entry("c-9"))
    cards.align(0)
    assert cards.blocked(0, "c-0", 0) is None
    assert cards.blocked(0, "c-9", 0) == entry("c-9")


@pytest.mark.parametrize(
    "value",
    [b'{"card_id": 5}', b'{"card_id": "\xff"}', b'{"more": ' + b"[" * 100_000],
    ids=["a number", "no UTF-8", "deep"],
)
def test_a_record_that_is_no_entry_blocks_nobody(log: Log, value: bytes) -> None:
    log.records[0].append(Record("blocked-cards", 0, 0, 0, b"c", value))
    log.append(0, "d", msgspec.structs.replace(entry("d"), why="é"))
    cards = BlockedCards(log)
    cards.align(0)
    assert cards.blocked(0, "c", 0) is None
    assert cards.blocked(0, "d", 0) is not None
