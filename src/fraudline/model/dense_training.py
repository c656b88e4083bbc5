"""Training of a stack of dense ELU layers in NumPy: the gradients of the mean squared error, and Adam, written out.

A network of a few thousand weights is too small for a framework: most of a step there is the bookkeeping around each
operation. Here a step is one matrix product a layer and direction, on buffers that are made once; the derivative of ELU
is a by-product of its value, and Adam (Kingma and Ba 2015, in the form that Keras uses) is one pass over all weights.

    trainer = DenseTrainer(network.get_weights(), learning_rate=2e-3, batch=512)
    loss = trainer.epoch(rows, order)
    network.set_weights(trainer.weights())
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fraudline.model.dense_kernels import activate, adam, finish

Matrix = NDArray[np.float32]


class DenseTrainer:
    """Fits dense layers to reproduce their input: ELU after every layer but the last, which is linear.

    Args:
        weights: kernel (in, out) and bias (out,) of each layer in turn, float32; copied.
        learning_rate: of Adam.
        batch: rows a step.
    """

    def __init__(self, weights: Sequence[Matrix], learning_rate: float, batch: int) -> None:
        self._rate, self._batch, self._step = learning_rate, batch, 0
        self._shapes = [array.shape for array in weights]
        self._flat = np.concatenate([np.asarray(array, np.float32).ravel() for array in weights])
        self._gradient, self._mean, self._square = (np.zeros_like(self._flat) for _ in range(3))
        parts, gradients = list(self._views(self._flat)), list(self._views(self._gradient))
        self._layers = list(zip(parts[::2], parts[1::2], strict=True))
        self._gradients = list(zip(gradients[::2], gradients[1::2], strict=True))
        widths = [kernel.shape[1] for kernel, _ in self._layers]
        self._input = np.empty((batch, self._layers[0][0].shape[0]), np.float32)
        self._values = [np.empty((batch, width), np.float32) for width in widths]
        self._slopes = [np.empty((batch, width), np.float32) for width in widths[:-1]]
        self._powers = [np.empty((batch, width), np.int32) for width in widths[:-1]]
        self._errors = [np.empty((batch, width), np.float32) for width in widths]
        self._ones = np.ones(batch, np.float32)

    def epoch(self, rows: Matrix, order: NDArray[np.integer]) -> float:
        """One pass of gradient steps.

        Args:
            rows: (n, d) float32.
            order: (steps, batch) positions in ``rows``.

        Returns:
            The mean of the steps' losses, each before its step.
        """
        total = 0.0
        for chosen in order:
            np.take(rows, chosen, axis=0, out=self._input, mode="clip")  # "raise" would copy through a buffer
            total += self._step_on_input()
        return total / max(len(order), 1)

    def reconstruct(self, rows: Matrix) -> Matrix:
        """Reconstructions of rows, (n, d) float32."""
        result = np.empty_like(rows)
        for start in range(0, len(rows), self._batch):
            part = rows[start : start + self._batch]
            result[start : start + self._batch] = self._forward(part)
        return result

    def weights(self) -> list[Matrix]:
        """A copy of kernel and bias of each layer, in the order given."""
        return [view.copy() for view in self._views(self._flat)]

    def _step_on_input(self) -> float:
        rebuilt, error = self._forward(self._input), self._errors[-1]
        np.subtract(rebuilt, self._input, out=error)
        loss = float(np.vdot(error, error)) / error.size
        error *= np.float32(2 / error.size)
        self._backward()
        self._step += 1
        correction = np.sqrt(1 - 0.999**self._step) / (1 - 0.9**self._step)
        adam(self._flat, self._gradient, self._mean, self._square, np.float32(self._rate * correction))
        return loss

    def _forward(self, rows: Matrix) -> Matrix:
        """Reconstructions of at most a batch of rows; valid until the next call."""
        n, values = len(rows), rows
        for number, (kernel, bias) in enumerate(self._layers):
            out = self._values[number][:n]
            np.matmul(values, kernel, out=out)
            if number < len(self._slopes):
                slopes, powers = self._slopes[number][:n], self._powers[number][:n]
                activate(out, bias, slopes, powers)
                finish(out, slopes, powers.view(np.float32))
            else:
                out += bias
            values = out
        return values

    def _backward(self) -> None:
        for number in range(len(self._layers) - 1, -1, -1):
            error = self._errors[number]
            if number < len(self._slopes):
                error *= self._slopes[number]
            kernel_gradient, bias_gradient = self._gradients[number]
            below = self._values[number - 1] if number else self._input
            np.matmul(below.T, error, out=kernel_gradient)
            np.matmul(self._ones, error, out=bias_gradient)
            if number:
                np.matmul(error, self._layers[number][0].T, out=self._errors[number - 1])

    def _views(self, flat: Matrix) -> Iterator[Matrix]:
        start = 0
        for shape in self._shapes:
            size = int(np.prod(shape))
            yield flat[start : start + size].reshape(shape)
            start += size
