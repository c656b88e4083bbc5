"""What the kernel says of processes, which may end while it is asked."""

from contextlib import suppress
from pathlib import Path

_GONE = (FileNotFoundError, ProcessLookupError)


def alive(pid: int) -> bool:
    """Whether a process is there and not a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except _GONE:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def children() -> set[int]:
    """Children of this process, whichever of its threads began them."""
    found = set[int]()
    for thread in Path("/proc/self/task").iterdir():
        with suppress(*_GONE):
            found.update(map(int, (thread / "children").read_text().split()))
    return found
