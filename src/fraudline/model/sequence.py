"""The sequence autoencoder: a transaction is rebuilt from a narrow code and from its card's last transactions.

The history is part of the row (features like ``amount@2``, see :mod:`fraudline.features.history`), so that the graph
still maps one row to one score. Attention over the last rows gives a context; encoder and decoder see it beside the
transaction and its code. Only the transaction is rebuilt: history passes through, and adds nothing to a score.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fraudline.core.errors import UsageError
from fraudline.features.lags import parsed

CONTEXT = 16


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the parts of a row are.

    Attributes:
        now: (c,) columns of the transaction itself.
        past: (k, m) columns of the last k rows of m features, the latest first.
    """

    now: NDArray[np.int32]
    past: NDArray[np.int32]

    @classmethod
    def of(cls, names: Sequence[str]) -> "Layout":
        """Read the layout from the names of the columns.

        Raises:
            UsageError: there is no history, or not every remembered feature in every row.
        """
        places = {parsed(name): column for column, name in enumerate(names)}
        bases = list(dict.fromkeys(base for base, lag in places if lag))
        rows = max((lag for _, lag in places), default=0)
        complete = all((base, lag) in places for base in bases for lag in range(1, rows + 1))
        if not rows or not complete:
            raise UsageError(
                "A sequence model needs the card's last transactions among its features.",
                "Set features.history_rows and features.history.",
            )
        past = [[places[base, lag] for base in bases] for lag in range(1, rows + 1)]
        now = [column for (_, lag), column in places.items() if lag == 0]
        return cls(np.array(now, np.int32), np.array(past, np.int32))


class SequenceAutoencoder(keras.Model):  # type: ignore[misc]
    """(n, width) → (n, width): scaled inputs to their reconstruction, history unchanged.

    Args:
        layout: of the columns.
        hidden: units from the outside in, mirrored.
        bottleneck: units of the code.
    """

    def __init__(self, layout: Layout, hidden: Sequence[int], bottleneck: int) -> None:
        super().__init__()
        rows, features = layout.past.shape
        width = layout.past.size + len(layout.now)
        self._layout = layout
        self._position = self.add_weight(shape=(rows, CONTEXT), initializer="zeros", name="position")
        self._keys = keras.layers.Dense(CONTEXT, activation="elu")
        self._weights_of = keras.layers.Dense(1)
        self._context = keras.layers.Dense(CONTEXT, activation="elu")
        sizes = (*hidden, bottleneck)
        self._encoder = [keras.layers.Dense(size, activation="elu") for size in sizes]
        self._decoder = [keras.layers.Dense(size, activation="elu") for size in reversed(hidden)]
        self._output_layer = keras.layers.Dense(len(layout.now))
        self._place = np.eye(width, dtype=np.float32)[layout.now]
        kept = np.ones(width, np.float32)
        kept[layout.now] = 0.0
        self._kept = kept
        self._shape = (rows, features)
        self(np.zeros((1, width), np.float32))

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """See the class; ``training`` changes nothing."""
        past = tf.reshape(tf.gather(inputs, self._layout.past.ravel(), axis=1), (-1, *self._shape))
        keys = self._keys(past) + self._position
        attention = tf.nn.softmax(self._weights_of(keys), axis=1)
        context = self._context(tf.reduce_sum(attention * keys, axis=1))
        code = tf.concat([tf.gather(inputs, self._layout.now, axis=1), context], axis=1)
        for layer in self._encoder:
            code = layer(code)
        rebuilt = tf.concat([code, context], axis=1)
        for layer in self._decoder:
            rebuilt = layer(rebuilt)
        return tf.linalg.matmul(self._output_layer(rebuilt), self._place) + inputs * self._kept
