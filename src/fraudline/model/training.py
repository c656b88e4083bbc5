"""Training of one autoencoder, several times cheaper than ``fit``.

A stack of dense ELU layers is fitted by :class:`~fraudline.model.dense_training.DenseTrainer`; any other network by an
epoch in the graph, which is one call into TensorFlow. Both give what ``fit`` gives with the same batches, to rounding.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from fraudline.model.dense_training import DenseTrainer
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
        report: called after each epoch with its number, loss and validation loss; the network has the epoch's weights.
    """
    batch = min(params.batch_size, len(rows))
    steps = len(rows) // batch
    best, waited = np.inf, 0
    with threadpool_limits(1, user_api="blas"):  # more threads are slower on matrices this small, and less repeatable
        trainer = trainer_of(network, params.learning_rate, batch)
        best_weights = trainer.weights()
        for number in range(1, params.epochs + 1):
            order = rng.permutation(len(rows))[: steps * batch].reshape(steps, batch).astype(np.int32)
            loss = trainer.epoch(rows, order)
            held_out = float(np.mean((trainer.reconstruct(validation) - validation) ** 2, dtype=np.float64))
            weights = trainer.weights()
            network.set_weights(weights)
            report(number, loss, held_out)
            if held_out < best:
                best, best_weights, waited = held_out, weights, 0
            else:
                waited += 1
                if waited >= params.patience:
                    break
    network.set_weights(best_weights)


class Trainer(Protocol):
    """One network in training."""

    def epoch(self, rows: NDArray[np.float32], order: NDArray[np.int32]) -> float:
        """A pass of gradient steps over batches ``rows[order[step]]``; the mean loss, each before its step."""

    def reconstruct(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Reconstructions by the present weights, (n, d) float32."""

    def weights(self) -> list[NDArray[np.float32]]:
        """A copy of the present weights, in the order of ``network.get_weights()``."""


def trainer_of(network: keras.Model, learning_rate: float, batch: int) -> Trainer:
    """The cheapest trainer that fits the network."""
    if is_dense_stack(network):
        return DenseTrainer(network.get_weights(), learning_rate, batch)
    return GraphTrainer(network, learning_rate)


def is_dense_stack(network: keras.Model) -> bool:
    """Whether the network is dense layers with bias only: ELU after each but the last, which is linear."""
    layers = network.layers if isinstance(network, keras.Sequential) else []
    plain = [
        type(layer) is keras.layers.Dense and layer.use_bias and layer.trainable and not layer.losses
        for layer in layers
    ]
    if not layers or not all(plain):
        return False
    return [layer.activation for layer in layers] == [keras.activations.elu] * (len(layers) - 1) + [
        keras.activations.linear
    ]


class GraphTrainer:
    """Any network: an epoch is one call into TensorFlow.

    Args:
        network: (n, d) → (n, d), changed in place.
        learning_rate: of Adam.
    """

    def __init__(self, network: keras.Model, learning_rate: float) -> None:
        self._network, self._rate = network, learning_rate
        self._rows: NDArray[np.float32] | None = None

    def epoch(self, rows: NDArray[np.float32], order: NDArray[np.int32]) -> float:
        """See :class:`Trainer`; the rows are copied into the graph once."""
        if rows is not self._rows:
            self._rows, self._run = rows, _epoch_function(self._network, rows, self._rate)
        return float(self._run(tf.constant(order)))

    def reconstruct(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """See :class:`Trainer`."""
        return reconstruct(self._network, rows)

    def weights(self) -> list[NDArray[np.float32]]:
        """See :class:`Trainer`."""
        weights: list[NDArray[np.float32]] = self._network.get_weights()
        return weights


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
