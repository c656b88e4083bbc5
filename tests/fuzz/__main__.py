"""Coverage-guided fuzzing of parsers: ``python -m tests.fuzz NAME SECONDS``, or ``all SECONDS FOLDER`` (``make fuzz``).

One process a parser, because the engine instruments and ends its process. ``all`` writes a figure a parser to FOLDER.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fraudline.core.files import write_json


def main(arguments: list[str]) -> int:
    """Fuzz one parser, or all of them one after the other."""
    if arguments[0] == "all":
        return run_all(float(arguments[1]), Path(arguments[2]))
    return run_one(arguments[0], float(arguments[1]))


def run_all(seconds: float, folder: Path) -> int:
    """A process a parser; a parser that crashed ends with its input on the screen."""
    from tests.fuzz.targets import TARGETS

    crashed = 0
    for name in TARGETS:
        command = [sys.executable, "-m", "tests.fuzz", name, f"{seconds:g}"]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        said = ended.stdout.strip()
        sys.stdout.write(f"{said or ended.stderr[-3000:]}\n")
        crashed += ended.returncode != 0
        if ended.returncode == 0:
            figure = {"file": "fuzz", "test": name, "what": name, "said": said.partition(": ")[2], "form": "long"}
            write_json(folder / f"fuzz.{name.replace(' ', '-')}.json", figure)
    return int(crashed > 0)


def run_one(name: str, seconds: float) -> int:
    """Fuzz until the time is over; the engine ends the process when an input raises what it should not."""
    import atheris

    with atheris.instrument_imports(include=["fraudline"]):
        from tests.fuzz.targets import TARGETS

    target, counts, end = TARGETS[name], [0, 0], time.monotonic() + seconds

    def once(content: bytes) -> None:
        counts[target.run(content)] += 1
        if time.monotonic() > end:
            sys.stdout.write(f"{name}: {sum(counts):,} inputs in {seconds:g} s, {counts[1]:,} taken, 0 crashes\n")
            sys.stdout.flush()
            os._exit(0)  # the engine has no way to end well

    corpus = Path(tempfile.mkdtemp(prefix="fraudline-corpus-"))
    for i, seed in enumerate(target.seeds()):
        (corpus / str(i)).write_bytes(seed)
    atheris.Setup([sys.argv[0], "-verbosity=0", f"-artifact_prefix={corpus}/", str(corpus)], once)
    atheris.Fuzz()
    return 0


sys.exit(main(sys.argv[1:]))
