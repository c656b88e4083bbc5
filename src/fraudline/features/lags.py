"""Names of features of a card's earlier transactions: ``amount@2`` is what ``amount`` was two transactions ago."""

SEPARATOR = "@"


def lagged(name: str, lag: int) -> str:
    """The feature's name: ``lagged("amount", 2)`` is ``amount@2``."""
    return f"{name}{SEPARATOR}{lag}"


def parsed(name: str) -> tuple[str, int]:
    """The inverse of :func:`lagged`; a lag of 0 is the transaction itself."""
    base, _, lag = name.partition(SEPARATOR)
    return (base, int(lag)) if lag.isdigit() and lag[0] != "0" else (name, 0)
