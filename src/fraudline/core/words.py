"""Values as words: a number with what it counts, yes and no."""


def counted(number: int, things: str) -> str:
    """A number and what it counts.

    >>> counted(1, "cards"), counted(2_500, "known frauds")
    ('1 card', '2,500 known frauds')

    Args:
        number: how many.
        things: the plural, ending in s.
    """
    return f"{number:,} {things.removesuffix('s') if number == 1 else things}"


def told(value: object) -> str:
    """A value as a page shows it.

    >>> told(True), told(False), told(7)
    ('yes', 'no', '7')
    """
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
