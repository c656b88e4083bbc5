"""Networks of the same inputs side by side: each layer of all of them is one batched matrix product.

A graph costs by its nodes where it sees one row, and by what goes through memory where it sees many. Five small
networks written out are five times the nodes of one; as a stack (m, in, out) they are as many as one's. Inside a stack
ELU is computed as ELU + 1 = max(x, 0) + exp(min(x, 0)), which ONNX Runtime does in less than half the time of its
``Elu``; the 1 is taken off again by the next layer's bias.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fraudline.model.members import DenseLayer, as_dense


@dataclass(frozen=True, slots=True)
class Stack:
    """m networks of dense layers with equally many layers.

    Attributes:
        kernels: (m, in, out) float32 of each layer; zeros where a network is narrower than another.
        biases: (m, 1, out) float32 of each layer.
        bent: whether ELU follows the layer.
    """

    kernels: tuple[NDArray[np.float32], ...]
    biases: tuple[NDArray[np.float32], ...]
    bent: tuple[bool, ...]

    @classmethod
    def of(cls, members: Sequence[keras.Model]) -> "Stack | None":
        """The stack of networks whose dense layers match one another's; None where they are more than that."""
        networks = [as_dense(member) for member in members]
        found = [network for network in networks if network is not None]
        if len(found) < len(networks) or len({tuple(layer.elu for layer in network) for network in found}) != 1:
            return None
        kernels, biases = zip(*(_joined(layers) for layers in zip(*found, strict=True)), strict=True)
        bent = tuple(layer.elu for layer in found[0])
        corrected = (
            bias - kernel.sum(axis=1, keepdims=True) if after_elu else bias
            for kernel, bias, after_elu in zip(kernels, biases, (False, *bent), strict=False)
        )
        return cls(
            tuple(kernel.astype(np.float32) for kernel in kernels),
            tuple(bias.astype(np.float32) for bias in corrected),
            bent,
        )

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """(n, width) → (m, n, width)."""
        values = inputs
        for kernel, bias, bent in zip(self.kernels, self.biases, self.bent, strict=True):
            values = tf.linalg.matmul(values, kernel) + bias
            if bent:
                values = tf.nn.relu(values) + tf.exp(tf.minimum(values, 0.0))
        return values


def reconstructions(members: Sequence[keras.Model], inputs: tf.Tensor) -> tf.Tensor:
    """What each of m networks makes of (n, width) scaled inputs: (m, n, width)."""
    stack = Stack.of(members)
    if stack is not None:
        return stack(inputs)
    return tf.stack([member(inputs, training=False) for member in members])


def _joined(layers: Sequence[DenseLayer]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows, columns = (max(layer.kernel.shape[axis] for layer in layers) for axis in (0, 1))
    kernel, bias = np.zeros((len(layers), rows, columns)), np.zeros((len(layers), 1, columns))
    for member, layer in enumerate(layers):
        kernel[member, : layer.kernel.shape[0], : layer.kernel.shape[1]] = layer.kernel
        bias[member, 0, : len(layer.bias)] = layer.bias
    return kernel, bias
