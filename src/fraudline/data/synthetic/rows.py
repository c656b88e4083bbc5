"""Rows on the way to a table: integer codes, before names are given."""

from dataclasses import dataclass, fields, replace

import numpy as np

from fraudline.data.synthetic.world import Bools, Ints, World, is_cash

POS, CONTACTLESS, ATM, ECOMMERCE, RECURRING = range(5)
"""Indexes into ``schema.CHANNELS``."""

KINDS = (
    "account_takeover",
    "card_testing",
    "merchant_collusion",
    "impossible_travel",
    "micro_transactions",
)
NORMAL = -1


@dataclass(frozen=True)
class Rows:
    """Struct of arrays (n,): time in µs since the first day's midnight, card and merchant slots, device or -1."""

    time: Ints
    card: Ints
    merchant: Ints
    amount: Ints
    channel: Ints
    device: Ints
    kind: Ints

    def __len__(self) -> int:
        return len(self.time)

    def take(self, index: "Ints | Bools") -> "Rows":
        """The chosen rows."""
        return Rows(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def with_kind(self, kind: int) -> "Rows":
        """The same rows, all of this fraud kind."""
        return replace(self, kind=np.full(len(self), kind))


def concat(parts: list[Rows]) -> Rows:
    """All rows of all parts, in order."""
    return Rows(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Rows)})


def make_rows(
    world: World,
    *,
    time: Ints,
    card: Ints,
    merchant: Ints,
    amount: Ints,
    contactless: "Bools | None" = None,
    device: Ints,
) -> Rows:
    """Normal rows with the channel that the merchant allows; a physical merchant records no device."""
    online = world.merchants.online[merchant]
    channel = np.where(is_cash(world.merchants, merchant), ATM, POS)
    if contactless is not None:
        channel = np.where(contactless & (channel == POS), CONTACTLESS, channel)
    channel = np.where(online, ECOMMERCE, channel)
    return Rows(
        time=time,
        card=card,
        merchant=merchant,
        amount=amount,
        channel=channel,
        device=np.where(online, device, -1),
        kind=np.full(len(time), NORMAL),
    )
