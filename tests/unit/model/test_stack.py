"""Networks written as one stack, and the two-step search, give what their plain forms give."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("tensorflow")

import keras
import tensorflow as tf

from fraudline.model.ladders import Ladders
from fraudline.model.members import build_member
from fraudline.model.params import TrainParams
from fraudline.model.stack import Stack, reconstructions

WIDTH = 6
ROWS = np.random.default_rng(3).normal(scale=4.0, size=(50, WIDTH)).astype(np.float32)


def members(kind: str, bottlenecks: tuple[int, ...] = (1, 2, 3), names: tuple[str, ...] = ()) -> list[keras.Model]:
    params = TrainParams(kind=kind, hidden=(16, 8))
    networks = [build_member(len(names) or WIDTH, params, bottleneck, names) for bottleneck in bottlenecks]
    rng = np.random.default_rng(1)
    for network in networks:
        network.set_weights([rng.normal(scale=0.5, size=w.shape).astype(np.float32) for w in network.get_weights()])
    return networks


@pytest.mark.parametrize("kind", ["dense", "denoising", "variational"])
def test_a_stack_reconstructs_as_each_of_its_networks(kind: str) -> None:
    networks = members(kind)
    stack = Stack.of(networks)
    assert stack is not None
    apart = np.stack([np.transpose(network(ROWS, training=False)) for network in networks])
    np.testing.assert_allclose(stack(tf.constant(ROWS.T)).numpy(), apart, rtol=1e-4, atol=1e-4)
    assert {kernel.shape[0] for kernel in stack.kernels} == {3}


def test_a_stack_is_made_of_present_weights_inside_a_graph_too() -> None:
    networks = members("dense")
    traced = tf.function(lambda rows: reconstructions(networks, rows))(tf.constant(ROWS.T)).numpy()
    np.testing.assert_allclose(traced, reconstructions(networks, tf.constant(ROWS.T)).numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("apart", [False, True])
def test_what_is_added_to_each_network_may_stand_in_its_last_bias(apart: bool) -> None:
    networks = members("dense")
    if apart:
        networks.append(build_member(WIDTH, TrainParams(hidden=(16, 8, 4)), 2))
    shift = np.random.default_rng(5).normal(size=(len(networks), WIDTH, 1)).astype(np.float32)
    plain = reconstructions(networks, tf.constant(ROWS.T)).numpy()
    shifted = reconstructions(networks, tf.constant(ROWS.T), shift).numpy()
    np.testing.assert_allclose(shifted, plain + shift, rtol=1e-4, atol=1e-4)


def test_networks_that_attend_to_history_and_networks_of_unlike_layers_stay_apart() -> None:
    names = ("a", "b", "c", "a@1", "a@2", "b@1", "b@2")
    attending = members("sequence", (2, 3), names)
    assert Stack.of(attending) is None
    rows = np.random.default_rng(4).normal(size=(9, len(names))).astype(np.float32)
    apart = np.stack([np.transpose(network(rows, training=False)) for network in attending])
    np.testing.assert_array_equal(reconstructions(attending, tf.constant(rows.T)).numpy(), apart)
    deeper = build_member(WIDTH, TrainParams(hidden=(16, 8, 4)), 2)
    assert Stack.of([*members("dense"), deeper]) is None
    bounded = keras.Sequential([keras.Input((WIDTH,)), keras.layers.Dense(WIDTH, activation="tanh")])
    assert Stack.of([bounded]) is None


GRIDS = st.lists(
    st.lists(st.integers(-40, 40), min_size=1, max_size=40, unique=True).map(sorted), min_size=1, max_size=4
)


@settings(max_examples=60)
@given(GRIDS, st.integers(0, 2**32 - 1))
def test_a_ladder_counts_the_lines_below_as_a_binary_search_does(lines: list[list[int]], seed: int) -> None:
    grids = [np.array(grid, np.float32) for grid in lines]
    halves = np.random.default_rng(seed).integers(-90, 90, (30, len(grids)))
    values = (halves / 2).astype(np.float32)  # on the lines, between them, and beyond both ends
    expected = np.column_stack([np.searchsorted(g, v, side="left") for g, v in zip(grids, values.T, strict=True)])
    np.testing.assert_array_equal(Ladders(grids).below(tf.constant(values.T)).numpy().T, expected)


@pytest.mark.parametrize("length", [1, 2, 16, 255, 256, 257])
def test_a_ladder_of_any_length_ends_beyond_its_last_line(length: int) -> None:
    grid = np.arange(length, dtype=np.float32)
    values = np.array([[-1.0], [length - 1.0], [length], [3e38]], np.float32)
    assert Ladders([grid]).below(tf.constant(values.T)).numpy().ravel().tolist() == [0, length - 1, length, length]
