"""Whether a model is the same, bit for bit, on other processors: one small fit, here and under an emulated one.

    python -m benchmarks.processors [--rows N] [--emulator qemu-x86_64] [--json]

``here`` is this processor; ``avx2`` is this one with the code that NumPy and Numba have for AVX2; ``emulated`` is a
Haswell (Debian's package ``qemu-user``, a minute); ``unbound`` is this one with what OpenBLAS and TensorFlow choose by
themselves, for comparison: on a processor like Haswell it may be the same. Exit code 1 where one of the first three
differs.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.command import OWN_KERNELS
from fraudline.core.errors import UnavailableError
from fraudline.core.processor import BOUNDS

AVX2 = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": "",
}
UNBOUND = {**OWN_KERNELS, "OPENBLAS_CORETYPE": ""}
EPOCHS = 2


def digests(rows: int) -> dict[str, str]:
    """SHA-256 of the graph that a fit of synthetic rows gives, and of its scores by TensorFlow and ONNX Runtime."""
    from fraudline.model.runtime import load_tensorflow

    load_tensorflow()
    from fraudline.features.spec import load_spec
    from fraudline.model.fitting import fit
    from fraudline.model.params import TrainParams
    from fraudline.model.scorer import open_graph

    spec = load_spec()
    draw = np.random.default_rng(1)
    values = (100 * draw.random((2 * rows, len(spec.names))) * draw.random((2 * rows, 1))).astype(np.float32)
    fitted = fit(values[:rows], values[rows:], spec, TrainParams(epochs=EPOCHS, max_rows=rows), seed=1)
    with tempfile.TemporaryDirectory() as folder:
        fitted.export(Path(folder))
        graph = (Path(folder) / "model.onnx").read_bytes()
        served = open_graph(Path(folder), spec.names, fitted.reasons).score(values)
    told = fitted.score(values)
    return {
        "graph": hashlib.sha256(graph).hexdigest(),
        "tensorflow": hashlib.sha256(told.score.tobytes() + told.contributions.tobytes()).hexdigest(),
        "onnx_runtime": hashlib.sha256(served.score.tobytes() + served.contributions.tobytes()).hexdigest(),
    }


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _arguments(argv)
    if arguments.child:
        print(json.dumps(digests(arguments.rows)))
        return 0
    emulated = [arguments.emulator, "-cpu", "Haswell"]
    if shutil.which(arguments.emulator) is None:
        print(f"There is no {arguments.emulator}. Install qemu-user, or name one with --emulator.", file=sys.stderr)
        return UnavailableError.exit_code
    found = {
        "here": _child((), {}, arguments.rows),
        "avx2": _child((), AVX2, arguments.rows),
        "emulated": _child(emulated, {}, arguments.rows),
        "unbound": _child((), UNBOUND, arguments.rows),
    }
    if arguments.json:
        print(json.dumps(found, sort_keys=True))
    else:
        for name, each in found.items():
            print(f"{name:9}", *(f"{what} {digest[:12]}" for what, digest in each.items()), sep="  ")
    return int(not found["here"] == found["avx2"] == found["emulated"])


def _child(before: Sequence[str], kernels: Mapping[str, str], rows: int) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name not in BOUNDS}
    environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", **kernels}
    command = [*before, sys.executable, "-m", "benchmarks.processors", "--child", "--rows", str(rows)]
    with tempfile.TemporaryDirectory() as compiled:
        environment["NUMBA_CACHE_DIR"] = compiled
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000, help="rows of the fit (default: 1000)")
    parser.add_argument("--emulator", default="qemu-x86_64", help="program that runs others (default: qemu-x86_64)")
    parser.add_argument("--json", action="store_true", help="whole digests as one JSON object")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
