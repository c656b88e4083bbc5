"""Write ``docs/reference/reliability.md`` from the figures of a run: ``python -m docs.reliability FOLDER SECONDS``.

The folder holds one JSON file a scenario, as the tests of ``tests/reliability`` write them when ``FRAUDLINE_FIGURES``
names it. ``make test-reliability`` does both.
"""

import sys
from itertools import groupby
from pathlib import Path
from typing import Any

from docs.figures import write_page

PAGE = Path(__file__).parent / "reference" / "reliability.md"
_FORMS = ("fast", "short", "long")
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
make test-reliability          # all of it, in the long form: the figures below that name no other
make test-reliability-short    # the same scenarios, smaller: what continuous integration runs
```
"""

MOST_BESIDE_POISON = 0.10
"""By how much poison may raise the p99 of the other records."""

FALLS_SHORT = """## What this does not show

- Three brokers on one machine outlive the death of a process, not of a disk or of a network.
- Times are those of a machine whose cores are shared: a recovery waits for Kafka's own timeouts (session, transaction,
  fetch) and for the brokers to start, and both grow with the load. No test asserts a time but the grace period.
- The goal beside poison is a p99 at most 10 % higher; {poison}. Where a p99 above is of seconds, the worker could not
  keep up with the rate beside the machine's other work: both are then those of a backlog, and the goal is not shown.
- The workers use kafka-python, the default, where a line does not begin with another transport.
- Memory in an outage is the worker's resident size before and after, not a limit that was enforced.
"""


def page(figures: list[dict[str, Any]], about: str, seconds: float) -> str:
    """The page, scenarios in the order of ``TITLES``."""
    order = list(TITLES)
    ranked = sorted(figures, key=lambda figure: (order.index(figure["file"]), figure["test"]))
    form = max(figures, key=lambda figure: _FORMS.index(figure["form"]))["form"]
    made = f"Made on {about}; the {form} form where a line says no other; {seconds / 60:.0f} minutes.\n"
    parts = [NOTE, HEAD, made]
    for name, some in groupby(ranked, key=lambda figure: figure["file"]):
        parts.append(f"## {TITLES[name]}\n")
        for what, same in groupby(some, key=lambda figure: figure["what"]):
            parts.append(" ".join(what.split()) + "\n")
            parts.append("".join(f"- {_line(figure, form)}\n" for figure in same))
    return "\n".join([*parts, FALLS_SHORT.format(poison=_beside_poison(figures))])


def _beside_poison(figures: list[dict[str, Any]]) -> str:
    """Whether the goal was reached, as the figures have it."""
    ratios = [figure["p99_ratio"] for figure in figures if "p99_ratio" in figure]
    if not ratios:
        return "it was not measured"
    more = round(max(ratios) - 1, 2)
    return f"in the run above it was {more:+.0%}: {'reached' if more <= MOST_BESIDE_POISON else 'not reached'}"


def _line(figure: dict[str, Any], form: str) -> str:
    said: str = figure["said"]
    return said if figure["form"] == form else f"{said} ({figure['form']} form)"


if __name__ == "__main__":
    sys.exit(write_page(PAGE, page, sys.argv[1:]))
