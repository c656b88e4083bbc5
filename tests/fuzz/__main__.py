"""Coverage-guided fuzzing of one parser: ``python -m tests.fuzz NAME SECONDS`` (``make fuzz`` runs all of them)."""

import sys
import time

import atheris

with atheris.instrument_imports(include=["fraudline"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    name, seconds = sys.argv[1], float(sys.argv[2])
    target, counts, end = TARGETS[name], [0, 0], time.monotonic() + seconds

    def once(content: bytes) -> None:
        counts[target.run(content)] += 1
        if time.monotonic() > end:
            sys.stdout.write(f"{name}: {sum(counts):,} inputs in {seconds:g} s, {counts[1]:,} taken, 0 crashes\n")
            sys.stdout.flush()
            import os

            os._exit(0)

    seeds = iter(target.seeds())
    for seed in seeds:
        target.run(seed)
    folder = __import__("tempfile").mkdtemp(prefix="fraudline-corpus-")
    for i, seed in enumerate(target.seeds()):
        with open(f"{folder}/{i}", "wb") as file:
            file.write(seed)
    atheris.Setup([sys.argv[0], "-verbosity=0", "-print_final_stats=0", folder], once)
    atheris.Fuzz()


main()
