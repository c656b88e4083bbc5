"""The page that the stream's benchmarks write: tables between markers, with the machine that they were made on."""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from fraudline.core.files import write_text

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "performance.md"
PACKAGES = ("kafka-python", "confluent-kafka", "onnxruntime")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def put(section: str, text: str, page: Path = PAGE, packages: Sequence[str] = PACKAGES) -> None:
    """Replace what stands between the markers of ``section``.

    Raises:
        SystemExit: the page has no such markers.
    """
    begin, end = f"<!-- {section} -->", f"<!-- end of {section} -->"
    content = page.read_text(encoding="utf-8")
    if content.count(begin) != 1 or content.count(end) != 1:
        raise SystemExit(f"{page.name} has no markers {begin} and {end}: put them where the table belongs.")
    head, rest = content.split(begin)
    tail = rest.split(end)[1]
    write_text(page, f"{head}{begin}\n{text}\n\n{machine(packages)}\n{end}{tail}")


def machine(packages: Sequence[str] = PACKAGES) -> str:
    """The machine and the versions of some packages, in a line."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    load = os.getloadavg()[0]
    return (
        f"Measured on {os.cpu_count()} cores ({_processor()}), {_memory_gb():.0f} GB of memory, "
        f"Python {platform.python_version()}, {versions}; load average {load:.1f} at the end."
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
