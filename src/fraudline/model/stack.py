"""Networks of the same inputs side by side: each layer of all of them is one batched matrix product.

A graph costs by its nodes where it sees one row, and by what goes through memory where it sees many. Five small
networks written out are five times the nodes of one; as a stack (m, out, in) they are as many as one's. Inside a stack
ELU is computed as ELU + 1 = max(x, 0) + exp(min(x, 0)), which ONNX Runtime does in less than half the time of its
``Elu``; the 1 is taken off again by the next layer's bias. A unit that sees nothing is then always 1: each ELU layer
has one, and the next layer's bias is its weight of that unit.
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
        kernels: (m, out, in) float32 of each layer; zeros where a network is narrower than another.
        biases: (m, out, 1) float32 of each layer; None where it is in the kernel, after an ELU.
        bent: whether ELU follows the layer.
    """

    kernels: tuple[NDArray[np.float32], ...]
    biases: tuple[NDArray[np.float32] | None, ...]
    bent: tuple[bool, ...]

    @classmethod
    def of(cls, members: Sequence[keras.Model], shift: NDArray[np.float32] | float = 0.0) -> "Stack | None":
        """The stack of networks whose dense layers match one another's; None where they are more than that.

        Args:
            members: the networks.
            shift: (m, width, 1), added to what they give.
        """
        networks = [as_dense(member) for member in members]
        found = [network for network in networks if network is not None]
        if len(found) < len(networks) or len({tuple(layer.elu for layer in network) for network in found}) != 1:
            return None
        bent = tuple(layer.elu for layer in found[0])
        joined = [_joined(layers) for layers in zip(*found, strict=True)]
        joined[-1] = (joined[-1][0], joined[-1][1] + shift)
        kernels, biases = [], []
        for (kernel, bias), after_elu, before_elu in zip(joined, (False, *bent), bent, strict=False):
            whole = np.concatenate([kernel, bias - after_elu * kernel.sum(axis=2, keepdims=True)], axis=2)
            whole = np.pad(whole, ((0, 0), (0, int(before_elu)), (0, 0))).astype(np.float32)
            kernels.append(whole if after_elu else whole[:, :, :-1])
            biases.append(None if after_elu else whole[:, :, -1:])
        return cls(tuple(kernels), tuple(biases), bent)

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """(width, n) → (m, width, n)."""
        values = inputs
        for kernel, bias, bent in zip(self.kernels, self.biases, self.bent, strict=True):
            values = tf.linalg.matmul(kernel, values)
            if bias is not None:
                values += bias
            if bent:
                values = tf.nn.relu(values) + tf.exp(tf.minimum(values, 0.0))
        return values


def reconstructions(
    members: Sequence[keras.Model], inputs: tf.Tensor, shift: NDArray[np.float32] | float = 0.0
) -> tf.Tensor:
    """What each of m networks makes of (width, n) scaled inputs, plus ``shift`` (m, width, 1): (m, width, n)."""
    stack = Stack.of(members, shift)
    if stack is not None:
        return stack(inputs)
    rows = tf.transpose(inputs)
    return tf.stack([tf.transpose(member(rows, training=False)) for member in members]) + shift


def _joined(layers: Sequence[DenseLayer]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows, columns = (max(layer.kernel.shape[axis] for layer in layers) for axis in (0, 1))
    kernel, bias = np.zeros((len(layers), columns, rows)), np.zeros((len(layers), columns, 1))
    for member, layer in enumerate(layers):
        kernel[member, : layer.kernel.shape[1], : layer.kernel.shape[0]] = layer.kernel.T
        bias[member, : len(layer.bias), 0] = layer.bias
    return kernel, bias
