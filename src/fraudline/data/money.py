"""Amounts as people write them."""

from fraudline.data.importers.currencies import decimals_of


def money(amount_minor: int, currency: str) -> str:
    """An amount in its currency's own unit.

    >>> money(123_456, "EUR"), money(1_000, "JPY"), money(1_500, "KWD")
    ('1,234.56 EUR', '1,000 JPY', '1.500 KWD')

    Args:
        amount_minor: in minor units.
        currency: ISO 4217 code.
    """
    digits = int(decimals_of([currency])[0])
    return f"{amount_minor / 10**digits:,.{digits}f} {currency}"
