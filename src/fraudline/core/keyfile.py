"""Files of secret keys: lines of a key id and hexadecimal digits, the first line's key in use, older ones below it."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from fraudline.core.errors import UsageError

KEY_BYTES = 32
_LINE = re.compile(r"([A-Za-z0-9]{1,16})[ \t]+([0-9a-fA-F]{64})")


def read_keys(path: Path) -> Mapping[str, bytes]:
    """Keys of 32 bytes by their id, in the file's order.

    Raises:
        UsageError: the file cannot be read, holds no key, or a line is none. Never shows a key.
    """
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The keys of {path} cannot be read.", "Name a readable text file.") from error
    keys: dict[str, bytes] = {}
    action = "Write `KEYID HEX`: echo k1 $(openssl rand -hex 32) > FILE."
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        found = _LINE.fullmatch(line.strip())
        if found is None or found[1] in keys:
            raise UsageError(f"{path} line {number} is no key of 32 bytes, or names one again.", action)
        keys[found[1]] = bytes.fromhex(found[2])
    if not keys:
        raise UsageError(f"{path} holds no key.", action)
    return MappingProxyType(keys)
