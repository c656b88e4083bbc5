"""Contributions on a grid on which float32 adds without rounding, so that they sum to the score exactly.

A float32 holds 24 binary digits. Multiples of 2⁻¹⁴ below 1,024 need no more than that, nor do their sums, so any order
of adding them gives the same sum, in every runtime. A contribution moves by at most 2⁻¹⁵, about 0.00003.
"""

import tensorflow as tf

STEP = 2.0**-14
LIMIT = 1_024.0
"""Sums of contributions below this are exact."""


def on_grid(parts: tf.Tensor) -> tf.Tensor:
    """The nearest multiples of ``STEP``, (n, d) float32."""
    return tf.round(parts * (1.0 / STEP)) * STEP
