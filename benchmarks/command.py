"""How a benchmark that writes a page is run: its environment, its errors, and where its figures go."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fraudline.core.errors import FraudlineError
from fraudline.core.files import write_json, write_text
from fraudline.core.log import configure

OWN_KERNELS = {"TF_ENABLE_ONEDNN_OPTS": "1", "TENSORFLOW_USE_CUSTOM_CONTRACTION_KERNEL": "true"}
"""The environment of a peer on TensorFlow: oneDNN's kernels, which fraudline forgoes for its own training."""


def run_command(
    measure: Callable[[], dict[str, Any]], page: Callable[[dict[str, Any]], str], *, json: Path | None, to: Path | None
) -> int:
    """Measure, print the page, and write figures and page where they are wanted.

    Args:
        measure: gives the figures.
        page: says them in Markdown.
        json: file for the figures.
        to: file for the page.

    Returns:
        The exit code.
    """
    configure(level="warning")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    try:
        result = measure()
    except FraudlineError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    said = page(result)
    if json is not None:
        write_json(json, result)
    if to is not None:
        write_text(to, said)
    print(said)
    return 0
