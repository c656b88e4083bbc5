"""Card numbers replaced by keyed tokens: the only form in which a card comes in.

    tokenizer = Tokenizer.read(Path("card.key"))       # a file of `key-id hex` lines, the first is used
    tokenizer.token("4111 1111 1111 1111")             # "k1_5f0c...": 128 bits of HMAC-SHA256, the same each time

Without the key a token says nothing of the number: trying all numbers needs the key (NIST SP 800-107, HMAC; PCI DSS 3.5.1
accepts a keyed hash of the whole number). A new key gives new tokens, and with them new card histories: rotate at a data
set's border, and keep the old key's line below the new one's so that old tokens can be made again with ``key_id``.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from fraudline.core.errors import UsageError

_LINE = re.compile(r"([A-Za-z0-9]{1,16})[ \t]+([0-9a-fA-F]{64,})")
_PARTED = str.maketrans("", "", " -")
_HEX_DIGITS = 32


class Tokenizer:
    """Makes tokens with one of the keys of a file.

    Args:
        keys: bytes by key id, 32 or more each; the first is used.
        key_id: another of them.

    Raises:
        UsageError: there is no such key.
    """

    def __init__(self, keys: Mapping[str, bytes], key_id: str = "") -> None:
        self._keys = MappingProxyType(dict(keys))
        self.key_id = key_id or next(iter(self._keys), "")
        if self.key_id not in self._keys:
            raise UsageError(
                f"There is no key {self.key_id!r}.", f"Name one of {', '.join(self._keys) or 'a key file'}."
            )
        self._hmac = hmac.new(self._keys[self.key_id], digestmod=hashlib.sha256)

    @classmethod
    def read(cls, path: Path, key_id: str = "") -> "Tokenizer":
        """Read a file of keys: lines of a key id and at least 64 hexadecimal digits.

        Raises:
            UsageError: the file cannot be read, or a line is no key. Never shows a key.
        """
        try:
            lines = [line for line in path.read_text(encoding="ascii").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"The keys of {path} cannot be read.", "Name a readable text file.") from error
        keys: dict[str, bytes] = {}
        for number, line in enumerate(lines, 1):
            found = _LINE.fullmatch(line.strip())
            if found is None or len(found[2]) % 2 or found[1] in keys:
                action = "Write `KEYID HEX`: echo k1 $(openssl rand -hex 32) > card.key."
                raise UsageError(f"{path} line {number} is no key, or names one again.", action)
            keys[found[1]] = bytes.fromhex(found[2])
        return cls(keys, key_id)

    def token(self, number: str) -> str:
        """The token of a card number or any other identifier; spaces and dashes do not matter."""
        state = self._hmac.copy()
        state.update(number.translate(_PARTED).encode())
        return f"{self.key_id}_{state.hexdigest()[:_HEX_DIGITS]}"

    def is_token(self, text: str) -> bool:
        """Whether it has the form of a token of one of the keys."""
        name, _, rest = text.partition("_")
        return name in self._keys and len(rest) == _HEX_DIGITS and all(digit in "0123456789abcdef" for digit in rest)
