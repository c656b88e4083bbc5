"""How many decimals a currency has, by ISO 4217 (list one, active codes)."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_LISTED = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_OTHERS = {code: digits for digits, codes in _LISTED.items() for code in codes.split()}


def decimals_of(currencies: Sequence[str]) -> npt.NDArray[np.int64]:
    """Decimal digits (n,) int64 of each currency's amounts: two but for those that the standard lists otherwise.

    >>> decimals_of(["EUR", "JPY", "KWD"]).tolist()
    [2, 0, 3]
    """
    return np.array([_OTHERS.get(code, 2) for code in currencies], np.int64)
