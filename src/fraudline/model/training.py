"""In-graph training of one autoencoder: an epoch is one call into TensorFlow, several times cheaper than ``fit``."""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fraudline.model.params import TrainParams

_EVALUATE_ROWS = 8_192


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one epoch of one member gave: the losses are mean squared errors of scaled inputs."""

    member: int
    members: int
    epoch: int
    epochs: int
    loss: float
    validation_loss: float


Progress = Callable[[Epoch], None]


def train_member(
    network: keras.Model,
    rows: NDArray[np.float32],
    validation: NDArray[np.float32],
    params: TrainParams,
    rng: np.random.Generator,
    report: Callable[[int, float, float], None],
) -> None:
    """Fit ``network`` to reproduce ``rows``; it ends with the weights of its best epoch on ``validation``.

    Args:
        network: (n, d) → (n, d), changed in place.
        rows: (n, d) float32 scaled known normals.
        validation: (m, d) float32 scaled known normals of later days.
        params: batch size, learning rate, epochs and patience.
        rng: shuffles.
        report: called after each epoch with its number, loss and validation loss.
    """
    batch = min(params.batch_size, len(rows))
    steps = len(rows) // batch
    run_epoch = _epoch_function(network, rows, params.learning_rate)
    best, best_weights, waited = np.inf, network.get_weights(), 0
    for number in range(1, params.epochs + 1):
        order = rng.permutation(len(rows))[: steps * batch].reshape(steps, batch).astype(np.int32)
        loss = float(run_epoch(tf.constant(order)))
        held_out = float(np.mean((reconstruct(network, validation) - validation) ** 2, dtype=np.float64))
        report(number, loss, held_out)
        if held_out < best:
            best, best_weights, waited = held_out, network.get_weights(), 0
        else:
            waited += 1
            if waited >= params.patience:
                break
    network.set_weights(best_weights)


def reconstruct(network: keras.Model, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Reconstructions of scaled rows, (n, d) float32, without ``predict``."""
    parts = [network(rows[i : i + _EVALUATE_ROWS], training=False) for i in range(0, len(rows), _EVALUATE_ROWS)]
    return np.concatenate([np.asarray(part) for part in parts])


def _epoch_function(
    network: keras.Model, rows: NDArray[np.float32], learning_rate: float
) -> tf.types.experimental.GenericFunction:
    data = tf.constant(rows)
    weights = network.trainable_variables
    optimizer = keras.optimizers.Adam(learning_rate)
    optimizer.build(weights)

    @tf.function(input_signature=[tf.TensorSpec((None, None), tf.int32)], jit_compile=False)  # type: ignore[untyped-decorator]
    def run_epoch(order: tf.Tensor) -> tf.Tensor:
        steps = tf.shape(order)[0]
        total = tf.constant(0.0)
        for step in tf.range(steps):
            batch = tf.gather(data, order[step])
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(network(batch, training=True) - batch))
                whole = loss + tf.add_n(network.losses) if network.losses else loss
            optimizer.apply(tape.gradient(whole, weights), weights)
            total += loss
        return total / tf.cast(steps, tf.float32)

    return run_epoch
