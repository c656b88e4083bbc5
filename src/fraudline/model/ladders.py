"""How many lines of a grid lie below a value, for many grids at once: a search in two steps inside the graph.

ONNX has no binary search, and comparing a value with all of 256 lines sends 256 results through memory. Here it is
compared with every sixteenth line, and then with the sixteen lines of one block.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray


class Ladders:
    """Ascending lines of g grids.

    Args:
        grids: (a,) float32 ascending, each of its own length.
    """

    def __init__(self, grids: Sequence[NDArray[np.float32]]) -> None:
        longest = max(len(lines) for lines in grids)
        step = int(np.ceil(np.sqrt(longest)))
        blocks = longest // step + 1  # one more than the full ones: a value above all lines ends in it
        lines = np.full((len(grids), blocks * step), np.inf, np.float32)
        for row, values in zip(lines, grids, strict=True):
            row[: len(values)] = values
        self._lines = lines.reshape(-1, step)
        self._last = np.ascontiguousarray(lines[:, step - 1 :: step])
        self._first_block = (np.arange(len(grids)) * blocks).astype(np.int32)

    def below(self, values: tf.Tensor) -> tf.Tensor:
        """The number of lines below each value, (g, n) float32 to (g, n) int32."""
        block = _count(tf.expand_dims(values, 1) > self._last[:, :, None], axis=1)
        lines = tf.gather(self._lines, block + self._first_block[:, None])
        return block * self._lines.shape[1] + _count(tf.expand_dims(values, 2) > lines, axis=2)


def _count(above: tf.Tensor, axis: int) -> tf.Tensor:
    return tf.cast(tf.reduce_sum(tf.cast(above, tf.float32), axis=axis), tf.int32)
