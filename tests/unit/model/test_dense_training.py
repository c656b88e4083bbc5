"""The written-out gradients beside Keras: the same batches give the same losses and weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from fraudline.model.dense_kernels import activate, finish
from fraudline.model.dense_training import DenseTrainer
from fraudline.model.members import build_member
from fraudline.model.params import TrainParams
from fraudline.model.training import GraphTrainer, is_dense_stack, trainer_of

WIDTH, BATCH = 7, 32


@pytest.fixture
def rows() -> np.ndarray:
    rng = np.random.default_rng(3)
    return (rng.normal(size=(500, 3)) @ rng.normal(size=(3, WIDTH))).astype(np.float32)


def orders(epochs: int) -> list[np.ndarray]:
    rng = np.random.default_rng(4)
    return [rng.permutation(500)[: 15 * BATCH].reshape(15, BATCH).astype(np.int32) for _ in range(epochs)]


@pytest.fixture
def network() -> keras.Model:
    keras.utils.set_random_seed(1)
    return build_member(WIDTH, TrainParams(hidden=(16, 8)), 2)


def test_the_gradient_is_that_of_automatic_differentiation(network, rows):
    """The first step of Adam would hide a wrong scale, so the gradient itself is compared."""
    batch = rows[:BATCH]
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(network(batch) - batch))
    expected = np.concatenate([np.ravel(g) for g in tape.gradient(loss, network.trainable_variables)])
    trainer = DenseTrainer(network.get_weights(), 1e-3, BATCH)
    assert trainer.epoch(rows, np.arange(BATCH)[None]) == pytest.approx(float(loss), rel=1e-5)
    np.testing.assert_allclose(trainer._gradient, expected, rtol=1e-3, atol=1e-6)


def test_epochs_give_the_losses_and_weights_of_keras(network, rows):
    trainer = DenseTrainer(network.get_weights(), 2e-3, BATCH)
    peer = GraphTrainer(network, 2e-3)
    for order in orders(5):
        assert trainer.epoch(rows, order) == pytest.approx(peer.epoch(rows, order), rel=1e-3)
    for ours, theirs in zip(trainer.weights(), peer.weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-3)
    np.testing.assert_allclose(trainer.reconstruct(rows), peer.reconstruct(rows), atol=1e-2)


def test_the_same_weights_reconstruct_as_keras_does(network, rows):
    """Also the last rows, which do not fill a batch."""
    trainer = DenseTrainer(network.get_weights(), 2e-3, BATCH)
    np.testing.assert_allclose(trainer.reconstruct(rows), network(rows).numpy(), rtol=1e-4, atol=1e-5)


def test_two_runs_give_the_same_bits(network, rows):
    first, second = (DenseTrainer(network.get_weights(), 2e-3, BATCH) for _ in range(2))
    for order in orders(2):
        assert first.epoch(rows, order) == second.epoch(rows, order)
    assert all(np.array_equal(a, b) for a, b in zip(first.weights(), second.weights(), strict=True))


def test_the_compiled_elu_is_elu_over_the_whole_range():
    x = np.r_[np.linspace(-120, 120, 4001), -1e30, 1e30, 0.0, -0.0].astype(np.float32)[None]
    values, slopes, powers = x.copy(), np.empty_like(x), np.empty(x.shape, np.int32)
    activate(values, np.zeros(x.shape[1], np.float32), slopes, powers)
    finish(values, slopes, powers.view(np.float32))
    exact = x.astype(np.float64)
    np.testing.assert_allclose(values, np.where(exact > 0, exact, np.expm1(np.minimum(exact, 0))), rtol=1e-6, atol=2e-7)
    np.testing.assert_allclose(slopes, np.exp(np.minimum(exact, 0)), rtol=1e-6, atol=1e-37)


def test_a_network_of_another_kind_is_trained_in_the_graph(network, rows):
    other = keras.Sequential(
        [keras.Input((WIDTH,)), keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(WIDTH)]
    )
    assert isinstance(trainer_of(network, 1e-3, BATCH), DenseTrainer)
    assert not is_dense_stack(other)
    trainer = trainer_of(other, 1e-2, BATCH)
    losses = [trainer.epoch(rows, order) for order in orders(6)]
    assert losses[-1] < 0.8 * losses[0]
