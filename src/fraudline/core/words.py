"""Numbers with the word of what they count."""


def counted(number: int, things: str) -> str:
    """A number and what it counts.

    >>> counted(1, "cards"), counted(2_500, "known frauds")
    ('1 card', '2,500 known frauds')

    Args:
        number: how many.
        things: the plural, ending in s.
    """
    return f"{number:,} {things.removesuffix('s') if number == 1 else things}"
