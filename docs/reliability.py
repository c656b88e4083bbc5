"""Write ``docs/reference/reliability.md`` from the figures of a run: ``python -m docs.reliability FOLDER SECONDS``.

The folder holds one JSON file a scenario, as the tests of ``tests/reliability`` write them when ``FRAUDLINE_FIGURES``
names it. ``make test-reliability`` does both.
"""

import json
import os
import platform
import subprocess
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent / "reference" / "reliability.md"
NOTE = "<!-- written by `make test-reliability`: do not edit -->\n"
TITLES = {
    "test_kill": "Workers are killed",
    "test_brokers": "Brokers die, workers freeze, twins meet",
    "test_poison": "Poison",
    "test_endpoint": "The inference service fails",
    "test_checkpoints": "Checkpoints are lost, damaged or foreign",
    "test_events": "Late, out of order, more than once",
    "test_champion": "A new champion while the stream runs",
    "test_stop": "The worker is told to end",
}
HEAD = """# Reliability

What was measured, by real worker processes and a real Apache Kafka on one machine. Each line is the sentence that the
test printed; "lost" and "doubled" are counted by an independent reader with `isolation_level=read_committed`, and
"features equal" means every feature of every decision, compared with the batch over the same log bit for bit.

```
make test-reliability          # all of it, in the long form: the figures below
make test-reliability-short    # the same scenarios, smaller: what continuous integration runs
```
"""


def main(arguments: list[str]) -> int:
    """Write the page."""
    folder, seconds = Path(arguments[0]), float(arguments[1])
    figures = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    if not figures:
        sys.stderr.write(f"{folder} holds no figures\n")
        return 1
    PAGE.write_text(page(figures, machine(), seconds), encoding="utf-8")
    return 0


def page(figures: list[dict[str, Any]], about: str, seconds: float) -> str:
    """The page, scenarios in the order of ``TITLES``."""
    order = list(TITLES)
    ranked = sorted(figures, key=lambda figure: (order.index(figure["file"]), figure["test"]))
    form = "/".join(sorted({figure["form"] for figure in figures}))
    parts = [NOTE, HEAD, f"Made on {about}; the {form} form, {seconds / 60:.0f} minutes.\n"]
    for name, some in groupby(ranked, key=lambda figure: figure["file"]):
        parts.append(f"## {TITLES[name]}\n")
        for what, same in groupby(some, key=lambda figure: figure["what"]):
            parts.append(" ".join(what.split()) + "\n")
            parts.append("".join(f"- {figure['said']}\n" for figure in same))
    return "\n".join(parts)


def machine() -> str:
    """The machine in words: processor, cores, memory, system, versions."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr.split('"')[1]
    versions = f"Linux {platform.release().split('-')[0]}, Python {platform.python_version()}, Java {java}"
    return f"{model}, {os.cpu_count()} cores shared with other work, {memory:.0f} GiB, {versions}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
