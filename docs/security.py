"""Write ``docs/reference/security.md`` from the figures of a run: ``python -m docs.security FOLDER SECONDS``.

The folder holds one JSON file a test of ``tests/security`` and one a parser that ``make fuzz`` fuzzed, if it was run.
``make test-security`` does it.
"""

import sys
from itertools import groupby
from pathlib import Path
from typing import Any

from docs.figures import write_page

PAGE = Path(__file__).parent / "reference" / "security.md"
NOTE = "<!-- written by `make test-security`: do not edit -->\n"
TITLES = {
    "test_requests": "Bad requests",
    "test_endpoint_access": "Who may ask, and how slowly",
    "test_artifact": "Artifacts",
    "test_kafka_access": "Kafka: TLS, passwords, rules",
    "test_kafka_commands": "Kafka: the rights of each command",
    "test_card_numbers": "Card numbers",
    "test_at_rest": "At rest",
    "test_parsers": "Parsers",
    "fuzz": "Parsers, guided by coverage",
}
HEAD = """# Security

What was tried against the endpoint, the artifact, the broker, the cards and the files, with the real server, broker and
libraries on one machine. Each line is what the test said, with the command that says it again, in the form that it had.
[How to turn these on](../how-to/secure.md).

```
make test-security          # all of it, in the long form
make test-security-short    # the same, smaller: what continuous integration runs
make fuzz                   # each parser under atheris, SECONDS_EACH=60
```
"""
FALLS_SHORT = """## What this does not show

- Limits of the endpoint are a process's own. A flood of connections is the gateway's to stop.
- Slow clients and the measured one share this machine's cores with everything else on it: the ratio is of one run.
- The signature check takes keys of a file. Sigstore's keyless bundles are verified by `model_signing verify sigstore`
  before the artifact is handed to the server, not by the server.
- What an artifact may contain is a list of known names and a walk over ONNX and SavedModel. A graph of ONNX's own
  operators is run by ONNX Runtime, whose own faults are its own.
- Masking is of digits in UTF-8. A card number in base64, in UTF-16 or inside a longer number is not found. Decisions
  carry transaction identifiers as they came, alerts those of merchants, too; a card number is refused as `card_id`.
- The checkpoint whose cost is measured holds one transaction a card, which LZ4 packs fifty times smaller: the cost of
  encryption goes with the bytes on disk, and those of a busy card are more.
- A key service is tried with a stand-in: no cloud's KMS is reached from here.
"""


def page(figures: list[dict[str, Any]], about: str, seconds: float) -> str:
    """The page, files in the order of ``TITLES``."""
    order = list(TITLES)
    ranked = sorted(figures, key=lambda figure: (order.index(figure["file"]), figure["test"]))
    parts = [NOTE, HEAD, f"Made on {about}; {seconds / 60:.0f} minutes.\n"]
    for name, some in groupby(ranked, key=lambda figure: figure["file"]):
        parts.append(f"## {TITLES[name]}\n")
        rows = ["| what | figure | command |", "|---|---|---|"]
        rows += [_row(figure) for figure in some]
        parts.append("\n".join(rows) + "\n")
    return "\n".join([*parts, FALLS_SHORT])


def _row(figure: dict[str, Any]) -> str:
    if figure["file"] == "fuzz":
        command = f"python -m tests.fuzz '{figure['test']}' SECONDS"
    else:
        place = f"tests/security/{figure['file']}.py::{figure['test'].partition('[')[0]}"
        command = f"FRAUDLINE_FORM={figure['form']} pytest {place}"
    what = " ".join(figure["what"].split())
    return f"| {what} | {figure['said']} | `{command}` |"


if __name__ == "__main__":
    sys.exit(write_page(PAGE, page, sys.argv[1:]))
