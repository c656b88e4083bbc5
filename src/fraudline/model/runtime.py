"""TensorFlow without the lines that its native part writes at start-up, whatever its log level is set to."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


def load_tensorflow() -> None:
    """Import TensorFlow; what it wrote to standard error meanwhile is shown only when the import fails."""
    if "tensorflow" in sys.modules:
        return
    with _native_stderr_kept():
        import tensorflow  # noqa: F401


@contextmanager
def _native_stderr_kept() -> Iterator[None]:
    """Keep what goes to file descriptor 2; give it back when the block fails."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except ImportError:
            kept.seek(0)
            os.write(saved, kept.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
