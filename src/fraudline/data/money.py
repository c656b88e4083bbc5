"""Amounts as people read and write them: the one place that knows how many decimals a currency has (ISO 4217)."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_LISTED = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
"""Of list one, active codes; every other currency has two."""
_OTHERS = {code: digits for digits, codes in _LISTED.items() for code in codes.split()}


def decimals_of(currencies: Sequence[str]) -> npt.NDArray[np.int64]:
    """Decimal digits (n,) int64 of each currency's amounts.

    >>> decimals_of(["EUR", "JPY", "KWD"]).tolist()
    [2, 0, 3]
    """
    return np.array([_digits(code) for code in currencies], np.int64)


def in_base(
    amounts: npt.NDArray[np.number], currencies: pa.Array, rates: Mapping[str, float]
) -> npt.NDArray[np.float64]:
    """Amounts in minor units of the base currency, (n,) float64.

    >>> in_base(np.array([100, 100]), pa.array(["EUR", "JPY"]), {"EUR": 1.0, "JPY": 0.5}).tolist()
    [100.0, 50.0]

    Args:
        amounts: (n,) minor units; NaN stays.
        currencies: (n,) codes without nulls.
        rates: by currency, minor units of the base currency for one of its own.

    Raises:
        KeyError: a currency has no rate.
    """
    codes = currencies.dictionary_encode()
    of_code = np.array([rates[code] for code in codes.dictionary.to_pylist()], np.float64)
    result: npt.NDArray[np.float64] = amounts * of_code[codes.indices.to_numpy()]
    return result


def money(amount_minor: float, currency: str, *, signed: bool = False) -> str:
    """An amount in its currency's own unit.

    >>> money(123_456, "EUR"), money(1_000, "JPY"), money(1_500, "KWD")
    ('1,234.56 EUR', '1,000 JPY', '1.500 KWD')

    Args:
        amount_minor: in minor units.
        currency: ISO 4217 code; empty where there is none, as in a table of another domain.
        signed: with a sign also where it is positive.
    """
    return said(in_units(amount_minor, currency), currency, signed=signed)


def said(amount: float, currency: str, *, signed: bool = False) -> str:
    """An amount that is in its currency's own unit already.

    >>> said(1234.5, "EUR"), said(1234.5, "JPY")
    ('1,234.50 EUR', '1,234 JPY')
    """
    return f"{amount:{'+' if signed else ''},.{_digits(currency)}f} {currency}".rstrip()


def rounded(amount_minor: float, currency: str, *, signed: bool = False) -> str:
    """A sum in whole units of its currency, for a table that names it in a title.

    >>> rounded(4_127_181.6, "EUR"), rounded(-4_127_181.6, "JPY", signed=True)
    ('41,272', '-4,127,182')
    """
    return f"{in_units(amount_minor, currency):{'+' if signed else ''},.0f}"


def titled(words: str, currency: str) -> str:
    """The title of such sums.

    >>> titled("saved, net", "EUR"), titled("saved, net", "")
    ('saved, net, EUR', 'saved, net')
    """
    return f"{words}, {currency}" if currency else words


def in_units(amount_minor: float, currency: str) -> float:
    """Minor units as a number of the currency's own unit."""
    return float(amount_minor / 10 ** _digits(currency))


def _digits(currency: str) -> int:
    return _OTHERS.get(currency, 2)
