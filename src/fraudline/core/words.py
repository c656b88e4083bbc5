"""Values as words: a number with what it counts, yes and no, a stranger's text."""


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


def printable(text: str, kept: str = "") -> str:
    r"""A text that a client may have written, without characters that command a terminal or begin a line.

    >>> printable("c-1\x1b[2J\n"), printable("two\nlines", kept="\n")
    ('c-1\\x1b[2J\\n', 'two\nlines')

    Args:
        text: any text.
        kept: characters that stay.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() or c in kept else repr(c)[1:-1] for c in text)
