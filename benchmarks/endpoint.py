"""The endpoint beside an empty KServe server, bare FastAPI and TensorFlow's SavedModel, in one run.

    python -m benchmarks.endpoint [SECTION ...] [--short] [--write] [--model FOLDER]

Sections: ``requests`` (everyone, every protocol, one row and a hundred), ``causes`` (what makes the empty server slow),
``ready`` (CPU and memory until ready), ``memory`` (under ten minutes of load), ``cache`` (of answers and of profiles),
``files`` (`fraudline score`). Without a section all of them run; in the short form all but ``causes``. ``--write`` puts
the tables into docs/reference/endpoint-speed.md. wrk is a Debian package; ghz is built by Go the first time.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.serving import caching, causes, files, life, requests
from benchmarks.serving.setting import Setting, open_setting
from benchmarks.streaming.page import machine, put
from fraudline.core.errors import FraudlineError
from fraudline.core.log import configure

SECTIONS = {
    "requests": requests.measure,
    "causes": causes.measure,
    "ready": life.measure_ready,
    "memory": life.measure_memory,
    "cache": caching.measure,
    "files": files.measure,
}
SHORT = [name for name in SECTIONS if name != "causes"]
PAGE = Path(__file__).parents[1] / "docs" / "reference" / "endpoint-speed.md"
PACKAGES = ("kserve", "fastapi", "uvicorn", "uvloop", "grpcio", "onnxruntime")


def main() -> int:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--short", action="store_true", help="everything once and briefly: for CI, no figures to quote")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/reference/endpoint-speed.md")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--model", type=Path, help="artifact; default: the one that the last dvc repro packaged")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.sections) - set(SECTIONS))
    if unknown:
        parser.error(f"no section {', '.join(unknown)}: choose from {', '.join(SECTIONS)}")
    configure(level="warning")
    figures: dict[str, Any] = {}
    try:
        with tempfile.TemporaryDirectory() as folder:
            setting = open_setting(arguments, Path(folder))
            for name in arguments.sections or (SHORT if arguments.short else SECTIONS):
                figures[name] = _section(name, setting, quiet=arguments.json, write=arguments.write)
    except FraudlineError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if arguments.json:
        json.dump(figures, sys.stdout)
    failed = errors_in(figures)
    if failed:
        print(f"{failed:,.0f} requests failed: the figures are of servers that do not work.", file=sys.stderr)
    return int(failed > 0)


def errors_in(figures: Any) -> float:
    """Failed requests, over all sections."""
    if not isinstance(figures, dict):
        return 0
    return sum(float(value) if name == "errors" else errors_in(value) for name, value in figures.items())


def _section(name: str, setting: Setting, *, quiet: bool, write: bool) -> Any:
    result = SECTIONS[name](setting)
    if not quiet:
        print(f"\n## {name}\n\n{result['table']}\n\n{machine(PACKAGES)}", flush=True)
    if write:
        put(name, result["table"], PAGE, PACKAGES)
    return result["figures"]


if __name__ == "__main__":
    sys.exit(main())
