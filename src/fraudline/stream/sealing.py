"""Keeps cards out of what is kept: decisions and dead letters carry a pseudonym, and the card under the card's own key.

A card is erased by a record of its own on the topic ``transactions``: its key, no value, the header ``erase``. It lies
in the order of the log, so every worker, and every state that is built again, forgets the card at the same place. Its
header proves that its writer has the master key: without it the state is forgotten all the same, and no key destroyed.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from hmac import compare_digest
from pathlib import Path

import msgspec

from fraudline.core.card_keys import NOBODY, CardKeys, CardName
from fraudline.core.errors import UsageError
from fraudline.core.log import get_logger
from fraudline.stream.dead_letter import SEALED, SEALED_HEADERS, DeadLetter
from fraudline.stream.messages import Transaction
from fraudline.stream.params import StreamParams
from fraudline.stream.transport import Output, Record

log = get_logger(__name__)

ERASE = "erase"
_CARD = re.compile(rb'"card_id"\s*:\s*"((?:[^"\\]|\\.){1,512})"')


def erasure(topic: str, card: str, proof: bytes = b"") -> Output:
    """The record that erases a card; ``proof`` as :meth:`CardKeys.proof_of_erasure` gives it."""
    return Output(topic, card.encode(), None, ((ERASE, proof),))


def erases(record: Record) -> bool:
    """Whether a record erases the card that is its key."""
    return record.value is None and any(name == ERASE for name, _ in record.headers)


def erased_card(record: Record) -> str:
    """The card that a record erases."""
    return (record.key or b"").decode(errors="replace")


class Sealer:
    """Names cards by pseudonyms, and encrypts dead letters; see :func:`open_sealer`."""

    def __init__(self, keys: CardKeys) -> None:
        self.keys = keys

    def names(self, transactions: Sequence[Transaction], closed: Collection[int] = ()) -> list[CardName]:
        """What stands for the card of each transaction.

        Args:
            transactions: of a batch.
            closed: indices of those that lie before the erasure of their card: the card that comes again is another.

        Raises:
            StateError: the store of keys cannot be used.
        """
        cards = [transaction.card_id for transaction in transactions]
        if not closed:
            found = self.keys.names(cards)
            return [found[card] for card in cards]
        found = self.keys.names(card for row, card in enumerate(cards) if row not in closed)
        gone = {card: self.keys.closed_name(card) for card in {cards[row] for row in closed}}
        return [(gone if row in closed else found)[card] for row, card in enumerate(cards)]

    def sealed(self, letter: Output) -> Output:
        """A dead letter whose key, value and headers only the key of its card opens."""
        card = _card_of(letter)
        pseudonym = self.keys.known(card)  # not from memory: another process may have destroyed the key of that name
        if not pseudonym:
            self.keys.forget(card)
            pseudonym = self.keys.names([card])[card].pseudonym
        value = None if letter.value is None else self.keys.sealed(pseudonym, letter.value)
        key = b"" if letter.key is None else self.keys.sealed(pseudonym, letter.key)
        own, marks, came = DeadLetter.split(letter.headers)
        hidden = ((SEALED_HEADERS, self.keys.sealed(pseudonym, msgspec.json.encode(came))),) if came else ()
        headers = (*own, (SEALED, key), *hidden, *marks)
        return Output(letter.topic, pseudonym.encode(), value, headers)

    def erased(self, erasures: Iterable[Record]) -> dict[str, int]:
        """Cards whose erasure is proven, each with the offset of the last record that erases it."""
        return {erased_card(record): record.offset for record in erasures if self._proven(record)}

    def erase(self, erasures: Collection[Record]) -> None:
        """Destroy the keys that erased cards may have got again meanwhile; keys without a proof stay."""
        for record in erasures:
            if self._proven(record):
                self.keys.forget(erased_card(record))
            else:
                log.warning("cards.erasure_not_proven", partition=record.partition, offset=record.offset)

    def _proven(self, record: Record) -> bool:
        proof = self.keys.proof_of_erasure(erased_card(record))
        return any(name == ERASE and compare_digest(value, proof) for name, value in record.headers)

    def rebalanced(self) -> None:
        """Look names up anew: whoever had a partition meanwhile may have read there that a card is erased."""
        self.keys.look_anew()

    def close(self) -> None:
        """Let go of the store."""
        self.keys.close()


def open_sealer(params: StreamParams) -> Sealer | None:
    """The sealer that the settings name; None where cards are kept as they are.

    Raises:
        StateError: the store cannot be used.
        UsageError: there is no master key, the library is not installed, or the store is another group's.
    """
    keys = open_keys(params)
    if keys is None:
        return None
    with ExitStack() as failed:
        failed.callback(keys.close)
        group = keys.claim(params.topics.transactions, params.group)
        if group != params.group:
            raise UsageError(
                f"The card keys in {params.card_keys} are those of the group {group}, not of {params.group}.",
                "Give each group that reads the topic a store of its own in stream.card_keys, and erase cards in each.",
            )
        failed.pop_all()
    return Sealer(keys)


def open_keys(params: StreamParams) -> CardKeys | None:
    """The store of card keys that the settings name, if they name one.

    Raises:
        StateError: the store cannot be used.
        UsageError: there is no master key, or the library is not installed.
    """
    if not params.card_keys:
        return None
    if not params.card_keys_master:
        raise UsageError("stream.card_keys needs stream.card_keys_master.", "Name the file of the master key.")
    return CardKeys(Path(params.card_keys), Path(params.card_keys_master))


@contextmanager
def keys_at_hand(params: StreamParams) -> Iterator[CardKeys | None]:
    """The store of card keys for the length of a block, if the settings name one."""
    keys = open_keys(params)
    try:
        yield keys
    finally:
        if keys is not None:
            keys.close()


def check_reason(why: str, cards: Iterable[str]) -> None:
    """Refuse a reason that would outlive the cards it names.

    Raises:
        UsageError: it names one of them.
    """
    if any(re.search(rf"(?<!\w){re.escape(card)}(?!\w)", why) for card in cards):
        raise UsageError("The reason names the card, and stays when the card is erased.", "Leave it out of --why.")


def _card_of(letter: Output) -> str:
    """The card that a record names: in its value as far as that can be read, else as its key."""
    found = _CARD.search(letter.value or b"")
    if found:
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            return msgspec.json.decode(b'"%s"' % found[1], type=str) or NOBODY
    return (letter.key or b"").decode(errors="replace") or NOBODY
