"""A reference page from the figures that tests wrote (``FRAUDLINE_FIGURES``), and the machine in words."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_page(to: Path, page: Callable[[list[dict[str, Any]], str, float], str], arguments: list[str]) -> int:
    """Write ``page`` of a run's figures; exit 1 where there are none.

    Args:
        to: the page's file.
        page: its text, of the figures, the machine and the seconds.
        arguments: the folder of figures, and how long the run took.
    """
    folder, seconds = Path(arguments[0]), float(arguments[1])
    figures = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    if not figures:
        sys.stderr.write(f"{folder} holds no figures\n")
        return 1
    to.write_text(page(figures, machine(), seconds), encoding="utf-8")
    return 0


def machine() -> str:
    """The machine in words: processor, cores, how busy they are, memory, system, versions."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr.split('"')[1]
    versions = f"Linux {platform.release().split('-')[0]}, Python {platform.python_version()}, Java {java}"
    busy = f"{os.cpu_count()} cores with a load average of {os.getloadavg()[2]:.0f} over the last quarter of an hour"
    return f"{model}, {busy}, {memory:.0f} GiB, {versions}"
