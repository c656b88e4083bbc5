"""Card numbers replaced by keyed tokens: the only form in which a card comes in.

    tokenizer = Tokenizer(read_keys(Path("card.key")))
    tokenizer.token("4111 1111 1111 1111")             # "k1_5f0c...": 128 bits of HMAC-SHA256, the same each time

Without the key a token says nothing of the number: who would try all numbers needs the key (FIPS 198-1, HMAC; PCI DSS
3.5.1.1 asks for a keyed hash of the whole number). A new key gives new tokens, and with them new card histories: rotate
at a data set's border, and keep the old key's line below the new one's, so that old tokens can be made again.
"""

import hashlib
import hmac
from collections.abc import Mapping
from types import MappingProxyType

from fraudline.core.errors import UsageError

_PARTED = str.maketrans("", "", " -")
_HEX_DIGITS = 32


class Tokenizer:
    """Makes tokens with one of several keys.

    Args:
        keys: bytes by key id (:func:`fraudline.core.keyfile.read_keys`); the first is used.
        key_id: another of them.

    Raises:
        UsageError: there is no such key.
    """

    def __init__(self, keys: Mapping[str, bytes], key_id: str = "") -> None:
        self._keys = MappingProxyType(dict(keys))
        self.key_id = key_id or next(iter(self._keys), "")
        if self.key_id not in self._keys:
            raise UsageError(f"There is no key {self.key_id!r}.", f"The file has {', '.join(self._keys)}.")
        self._hmac = hmac.new(self._keys[self.key_id], digestmod=hashlib.sha256)

    def token(self, number: str) -> str:
        """The token of a card number or any other identifier; spaces and dashes do not matter."""
        state = self._hmac.copy()
        state.update(number.translate(_PARTED).encode())
        return f"{self.key_id}_{state.hexdigest()[:_HEX_DIGITS]}"

    def is_token(self, text: str) -> bool:
        """Whether it has the form of a token of one of the keys."""
        name, _, rest = text.partition("_")
        return name in self._keys and len(rest) == _HEX_DIGITS and all(digit in "0123456789abcdef" for digit in rest)
