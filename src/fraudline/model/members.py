"""The networks of the ensemble: a dense autoencoder, and its denoising, variational and sequence forms.

All map (n, width) scaled inputs to their reconstruction; what is random in them is so while training only.
"""

from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fraudline.model.params import TrainParams
from fraudline.model.sequence import Layout, SequenceAutoencoder


def build_member(width: int, params: TrainParams, bottleneck: int, names: Sequence[str] = ()) -> keras.Model:
    """One autoencoder, (n, width) → (n, width): ELU ``hidden`` – bottleneck – mirrored, linear output.

    ``denoising`` learns to undo Gaussian noise on its inputs (Vincent et al. 2008); ``variational`` samples its
    bottleneck around a learned mean and is drawn to a standard normal (Kingma and Welling 2014); ``sequence`` attends
    to the card's last transactions, which it finds by the ``names`` of the columns.

    Raises:
        UsageError: a sequence model without such columns.
    """
    if params.kind == "sequence" and names:
        return SequenceAutoencoder(Layout.of(names), params.hidden, bottleneck)
    layers = [keras.layers.GaussianNoise(params.noise)] if params.kind == "denoising" else []
    layers += [_dense(units) for units in params.hidden]
    layers += [_Sampled(bottleneck, params.kl_weight) if params.kind == "variational" else _dense(bottleneck)]
    layers += [_dense(units) for units in reversed(params.hidden)]
    return keras.Sequential([keras.Input((width,)), *layers, keras.layers.Dense(width)])


class DenseLayer(NamedTuple):
    """One layer as it scores: kernel (in, out) and bias (out,) float32, and whether ELU follows."""

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]
    elu: bool


def as_dense(network: keras.Model) -> tuple[DenseLayer, ...] | None:
    """What the network computes when scoring, as dense layers with ELU or nothing after; None where it is more."""
    if not isinstance(network, keras.Sequential):
        return None
    found = []
    for layer in network.layers:
        inner = layer.mean if isinstance(layer, _Sampled) else layer
        if isinstance(inner, keras.layers.GaussianNoise):
            continue
        if type(inner) is not keras.layers.Dense or not inner.use_bias or inner.activation not in _KNOWN:
            return None
        with tf.init_scope():  # values, even where a graph is being traced
            kernel, bias = inner.get_weights()
        found.append(DenseLayer(kernel, bias, inner.activation is keras.activations.elu))
    return tuple(found)


_KNOWN = (keras.activations.elu, keras.activations.linear)


def _dense(units: int) -> keras.layers.Layer:
    return keras.layers.Dense(units, activation="elu")


class _Sampled(keras.layers.Layer):  # type: ignore[misc]
    """A bottleneck of Gaussians: its mean when scoring, a sample while training."""

    def __init__(self, units: int, kl_weight: float) -> None:
        super().__init__()
        self.mean = keras.layers.Dense(units)
        self._log_variance = keras.layers.Dense(units, kernel_initializer="zeros", bias_initializer=_quiet)
        self._kl_weight = kl_weight
        self._seeds = keras.random.SeedGenerator()

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Make the weights of both halves."""
        self.mean.build(shape)
        self._log_variance.build(shape)
        self.built = True

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """(n, width) → (n, units)."""
        mean = self.mean(inputs)
        if not training:
            return mean
        log_variance = keras.ops.clip(self._log_variance(inputs), -10.0, 5.0)
        divergence = keras.ops.square(mean) + keras.ops.exp(log_variance) - log_variance - 1.0
        self.add_loss(self._kl_weight * 0.5 * keras.ops.mean(keras.ops.sum(divergence, axis=1)))
        noise = keras.random.normal(keras.ops.shape(mean), seed=self._seeds)
        return mean + keras.ops.exp(0.5 * log_variance) * noise


def _quiet(shape: tuple[int, ...], dtype: str | None = None) -> tf.Tensor:
    """Little noise at first, so that the decoder learns to listen."""
    return keras.ops.full(shape, -4.0, dtype=dtype)
