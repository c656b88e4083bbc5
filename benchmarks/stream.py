"""The worker beside its limits and its peers, on one real broker, in one run.

    python -m benchmarks.stream [SECTION ...] [--short] [--write] [--model FOLDER] [--peers-python PYTHON]

Sections: ``peers`` (bare copies, the worker on both transports, Quix Streams, Spark), ``latency`` (append to committed
decision at half of the worker's greatest rate, beside the bare copy's), ``growth`` (transactions and cards),
``checkpoint`` (a million cards, and how long the stream stands still), ``sealing`` (what encrypting it costs),
``workers`` (1, 2 and 4 on four partitions), ``stages`` (where the worker's own time goes), ``tracing`` and ``options``
(what tracing and card keys cost).
Without a section all of them run. ``--write`` puts the tables into docs/reference/performance.md.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.streaming import growth, latency, options, page, peers, stages, tracing, workers
from benchmarks.streaming.setting import Setting, open_setting

SECTIONS = {
    "peers": peers.measure,
    "stages": stages.measure,
    "latency": latency.measure,
    "workers": workers.measure,
    "growth": growth.measure,
    "checkpoint": growth.measure_checkpoint,
    "sealing": growth.measure_sealing,
    "options": options.measure,
    "tracing": tracing.measure,
}


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--short", action="store_true", help="a tenth of the records: for CI, no figures to quote")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/reference/performance.md")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--model", type=Path, default=Path("build/model"), help="artifact; default build/model")
    parser.add_argument("--peers-python", default=".venv-bench/bin/python", help="Python with Quix Streams and Spark")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.sections) - set(SECTIONS))
    if unknown:
        parser.error(f"no section {', '.join(unknown)}: choose from {', '.join(SECTIONS)}")
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, open_setting(arguments, Path(folder)) as setting:
        for name in arguments.sections or SECTIONS:
            results[name] = _section(name, setting, quiet=arguments.json)
            if arguments.write:
                page.put(name, results[name]["table"])
    if arguments.json:
        json.dump({name: result["figures"] for name, result in results.items()}, sys.stdout)


def _section(name: str, setting: Setting, *, quiet: bool) -> dict[str, Any]:
    result = SECTIONS[name](setting)
    if not quiet:
        print(f"\n## {name}\n\n{result['table']}\n\n{page.machine()}", flush=True)
    return result


if __name__ == "__main__":
    main()
