"""Card numbers that nobody has: random digits behind issuers' prefixes, with a Luhn digit at the end."""

import random
import re

_KINDS = (
    ("4", 16),
    ("51", 16),
    ("2221", 16),
    ("34", 15),
    ("6011", 16),
    ("62", 19),
    ("36", 14),
    ("4", 13),
    ("6304", 18),
)


def synthetic(count: int, seed: int = 7) -> list[str]:
    """``count`` different numbers of 13 to 19 digits."""
    rng = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        prefix, length = rng.choice(_KINDS)
        body = prefix + "".join(rng.choices("0123456789", k=length - len(prefix) - 1))
        total = sum(int(digit) if i % 2 else sum(divmod(2 * int(digit), 10)) for i, digit in enumerate(reversed(body)))
        found[f"{body}{-total % 10}"] = None
    return list(found)


def written(number: str, how: int) -> str:
    """The number as people write it: plain, or in groups of four with spaces or dashes."""
    groups = [number[at : at + 4] for at in range(0, len(number), 4)]
    return (number, " ".join(groups), "-".join(groups))[how % 3]


def found_in(content: bytes, numbers: list[str]) -> list[str]:
    """Those of the numbers that stand in ``content``, with or without spaces and dashes between their digits."""
    bare = content.replace(b" ", b"").replace(b"-", b"")
    sizes = {len(number) for number in numbers}
    runs = set(re.findall(rb"[0-9]{13,}", bare))
    windows = {run[at : at + size] for run in runs for size in sizes for at in range(len(run) - size + 1)}
    return [number for number in numbers if number.encode() in windows]
