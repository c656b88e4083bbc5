"""fraudline: card fraud detection from versioned transactions to an exactly-once scored stream."""

import os

from fraudline.core.processor import bound_instructions

__version__ = "0.1.0"

bound_instructions(os.environ)  # before anything imports NumPy
