"""The blocked cards as people handle them: what ``fraudline cards`` stands on.

    block_cards(params, ["c-1"], until_us, by="ada", why="reported stolen")
    unblock_cards(params, ["c-1"], by="ada", why="found again")
    listed(params)          # [BlockedCard, ...]
    actions(params)         # [CardAction, ...]: who did what, when and why

Each change and its line in the trail are one Kafka transaction. A card is taken off by a tombstone, so the compacted
topic keeps nothing of it; the trail is a topic of its own, which is not compacted. Where cards have keys the trail
names them as decisions do, by a pseudonym and under the card's key.
"""

from collections.abc import Sequence
from uuid import uuid4

import msgspec

from fraudline.core.card_keys import CardKeys
from fraudline.core.clock import LAST_US, now_us
from fraudline.core.errors import UsageError
from fraudline.core.log import get_logger
from fraudline.core.masking import is_card_number, mask_text
from fraudline.stream.blocked import entry_of
from fraudline.stream.decoding import UNREADABLE
from fraudline.stream.messages import MOST_CHARACTERS, BlockedCard, CardAction, encode
from fraudline.stream.params import StreamParams
from fraudline.stream.sealing import check_reason, keys_at_hand
from fraudline.stream.topic_reader import open_consumer, places_of, read_topic, wait_readable
from fraudline.stream.topic_writer import open_producer

log = get_logger(__name__)

_NO_LIST = (
    "A worker has a list where its stream.block_hours is above 0: `fraudline stream --block-hours 24 --create-topics`. "
    "Or name its --params, or give the right to the topic."
)


def block_cards(params: StreamParams, cards: Sequence[str], until: int, *, by: str, why: str) -> None:
    """Put cards on the list; a card that is there gets the new time and reason.

    Args:
        params: broker and topics.
        cards: ids.
        until: µs since the epoch.
        by: who.
        why: in words.

    Raises:
        StateError: the store of keys cannot be used.
        UsageError: nobody or no reason is given, the reason names a card that has a key, ``until`` is past or beyond
            the year 9999, what is given is no card that a transaction can have, or there is no such topic.
        UnavailableError: the broker does not answer.
    """
    at = now_us()
    if until <= at:
        raise UsageError("The block would be over already.", "Give a time that is to come.")
    if until > LAST_US:
        raise UsageError("The block would last beyond the year 9999.", "Give an earlier time.")
    for card in cards:
        _check_card(card, tokens_only=params.tokens_only)
    entries = [BlockedCard(card_id=card, until=until, blocked_at=at, by=by, why=why) for card in cards]
    trail = [CardAction("block", card, at, by, why, until) for card in cards]
    _write(params, [(entry.card_id, encode(entry)) for entry in entries], trail)


def unblock_cards(params: StreamParams, cards: Sequence[str], *, by: str, why: str) -> None:
    """Take cards off the list.

    Raises:
        StateError: the store of keys cannot be used.
        UsageError: nobody or no reason is given, the reason names a card that has a key, or a card is not on the list.
        UnavailableError: the broker does not answer.
    """
    known = {entry.card_id for entry in listed(params)}
    missing = [card for card in cards if card not in known]
    if missing:
        raise UsageError(f"The card {missing[0]} is not on the list.", "See `fraudline cards list`.")
    at = now_us()
    _write(params, [(card, None) for card in cards], [CardAction("unblock", card, at, by, why) for card in cards])


def listed(params: StreamParams) -> list[BlockedCard]:
    """What is on the list now, the newest last, expired entries included.

    Raises:
        UnavailableError: the broker does not answer.
        UsageError: there is no such topic.
    """
    newest: dict[bytes, BlockedCard] = {}
    for record in read_topic(params, params.topics.blocked_cards, _NO_LIST):
        key, entry = record.key or b"", entry_of(record)
        if entry is None:
            newest.pop(key, None)
        else:
            newest[key] = entry
    return sorted(newest.values(), key=lambda entry: entry.blocked_at)


def actions(params: StreamParams) -> list[CardAction]:
    """The trail, the oldest first; a card that was erased, or whose key is not at hand, keeps its pseudonym.

    A record that is no line of it is left out and said so.

    Raises:
        StateError: the store of keys cannot be used.
        UnavailableError: the broker does not answer.
        UsageError: there is no such topic.
    """
    decoder, found = msgspec.json.Decoder(CardAction), []
    with keys_at_hand(params) as keys:
        for record in read_topic(params, params.topics.card_actions, _NO_LIST):
            try:
                found.append(_opened(decoder.decode(record.value or b""), keys))
            except UNREADABLE as error:
                log.warning("cards.foreign", partition=record.partition, offset=record.offset, problem=str(error))
    return sorted(found, key=lambda action: action.at)


def _check_card(card: str, *, tokens_only: bool) -> None:
    """Refuse what no transaction has as its card: its block would do nothing, and look as if it did."""
    if not 0 < len(card) <= MOST_CHARACTERS:
        problem = f"A card has 1 to {MOST_CHARACTERS} characters, this one {len(card)}."
        raise UsageError(problem, "Give it as transactions have it.")
    if tokens_only and is_card_number(card):
        raise UsageError(f"{mask_text(card)} is a card number.", "Give the token that transactions have in its place.")


def _sealed(trail: Sequence[CardAction], keys: CardKeys | None) -> list[CardAction]:
    if keys is None:
        return list(trail)
    for line in trail:
        check_reason(line.why, [line.card_id])
    names = keys.names(line.card_id for line in trail)
    named = [(line, names[line.card_id]) for line in trail]
    return [msgspec.structs.replace(line, card_id=n.pseudonym, card_sealed=n.sealed) for line, n in named]


def _opened(line: CardAction, keys: CardKeys | None) -> CardAction:
    card = keys.opened(line.card_id, line.card_sealed) if keys is not None and line.card_sealed else None
    return line if card is None else msgspec.structs.replace(line, card_id=card.decode(), card_sealed="")


def _write(params: StreamParams, changes: Sequence[tuple[str, bytes | None]], trail: Sequence[CardAction]) -> None:
    """One transaction: the changes and their lines in the trail."""
    if not all(action.by.strip() and action.why.strip() for action in trail):
        raise UsageError("A change of the list needs a name and a reason.", "Give --by and --why.")
    topics = params.topics
    with open_consumer(params) as consumer:  # a broker may make a topic that is written to, and not as it must be
        for topic in (topics.blocked_cards, topics.card_actions):
            places_of(consumer, topic, _NO_LIST)
    with keys_at_hand(params) as keys:
        trail = _sealed(trail, keys)
    with open_producer(params, f"{params.group}.cards.{uuid4().hex[:12]}") as producer:
        producer.begin_transaction()
        futures = [producer.send(topics.blocked_cards, value, card.encode()) for card, value in changes]
        futures += [producer.send(topics.card_actions, encode(line), line.card_id.encode()) for line in trail]
        producer.commit_transaction()
        written = [future.get(timeout=1) for future in futures]
    wait_readable(params, written)
