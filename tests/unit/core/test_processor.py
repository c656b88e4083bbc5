"""The numerical libraries take the kernels of AVX2, so that a model's name does not depend on the processor."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fraudline.core.processor import BOUNDS, bound_instructions

HERE = Path("/proc/cpuinfo")
CPUINFO = "processor\t: 0\nmodel name\t: a processor\nflags\t\t: fpu {flags} sse2\nbogomips\t: 1\nflags\t\t: avx2 fma\n"

KERNELS = """
import fraudline
import numpy as np, scipy.linalg, threadpoolctl

assert {found["architecture"] for found in threadpoolctl.threadpool_info() if found["internal_api"] == "openblas"} == {
    "Haswell"
}

import tensorflow as tf

draw = np.random.default_rng(1)
left, right = draw.normal(size=(500, 64)).astype(np.float32), draw.normal(size=(64, 32)).astype(np.float32)
total = np.zeros((500, 32), np.float32)
for k in range(64):
    total += left[:, k : k + 1] * right[k]
np.testing.assert_array_equal(tf.linalg.matmul(left, right), total)
"""


def cpuinfo(folder: Path, flags: str) -> Path:
    path = folder / "cpuinfo"
    path.write_text(CPUINFO.format(flags=flags))
    return path


def test_a_processor_with_avx2_is_bound_to_it(tmp_path: Path) -> None:
    environment: dict[str, str] = {}
    bound_instructions(environment, cpuinfo(tmp_path, "avx avx2 fma avx512f"))
    assert environment == BOUNDS


@pytest.mark.parametrize("flags", ["avx fma", "avx2", "xavx2 fma_"])
def test_a_processor_without_it_is_asked_for_nothing_it_cannot_do(tmp_path: Path, flags: str) -> None:
    environment: dict[str, str] = {}
    bound_instructions(environment, cpuinfo(tmp_path, flags))
    assert environment == {}


def test_where_nothing_describes_the_processor_nothing_is_set(tmp_path: Path) -> None:
    environment: dict[str, str] = {}
    bound_instructions(environment, tmp_path / "absent")
    assert environment == {}


def test_a_choice_that_was_made_is_kept(tmp_path: Path) -> None:
    environment = {"OPENBLAS_CORETYPE": "SkylakeX"}
    bound_instructions(environment, cpuinfo(tmp_path, "avx2 fma"))
    assert environment == {**BOUNDS, "OPENBLAS_CORETYPE": "SkylakeX"}


@pytest.mark.skipif(not HERE.exists() or "avx2" not in HERE.read_text(), reason="a processor without AVX2")
def test_openblas_takes_the_kernels_of_avx2_and_tensorflow_adds_in_the_plain_order() -> None:
    environment = {name: value for name, value in os.environ.items() if name not in BOUNDS}
    done = subprocess.run([sys.executable, "-c", KERNELS], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
