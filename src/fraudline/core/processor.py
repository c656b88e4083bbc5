"""The kernels that a training takes: the same ones on every x86-64 processor that has AVX2.

OpenBLAS and TensorFlow choose theirs by what the processor can do, and kernels of another width add in another order.
The last bits of the weights then depend on the machine, and with them the name of the model. Both read what they may
take from the environment, when they are loaded: so this is done before NumPy and TensorFlow are imported.
"""

from collections.abc import MutableMapping
from pathlib import Path

BOUNDS = {
    "OPENBLAS_CORETYPE": "Haswell",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TENSORFLOW_USE_CUSTOM_CONTRACTION_KERNEL": "false",
}
"""Variable and value. OpenBLAS has kernels for many processors; those of oneDNN, which TensorFlow takes on some of them
and for its contractions on all, look at vector width and caches; Eigen's, which it takes without, do not."""

_NEEDED = {"avx2", "fma"}
_CPUINFO = Path("/proc/cpuinfo")


def bound_instructions(environment: MutableMapping[str, str], cpuinfo: Path = _CPUINFO) -> None:
    """Set ``BOUNDS`` in the environment where it names none of its own, on a processor that can do what they ask for.

    Args:
        environment: the process's.
        cpuinfo: Linux's description of the processors; elsewhere there is none, and nothing is set.
    """
    if _flags(cpuinfo) >= _NEEDED:
        for name, value in BOUNDS.items():
            environment.setdefault(name, value)


def _flags(cpuinfo: Path) -> set[str]:
    """What the first processor can do."""
    try:
        with cpuinfo.open(encoding="utf-8", errors="replace") as lines:
            return next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), set())
    except OSError:
        return set()
