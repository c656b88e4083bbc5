import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudline.model.joints import JointTable
from tests.support.inputs import PlainJoint

NAMES = ["a", "b"]
BOTH = PlainJoint("both", ("a", "b"), ("upper", "upper"), above=0.0)
YOUNG = PlainJoint("young", ("a", "b"), ("upper", "lower"), above=0.0)


def counted(normals: np.ndarray, rows: np.ndarray, joint: PlainJoint) -> np.ndarray:
    """The definition, by counting and by measuring the distance to the frontier."""
    sign = -1 if joint.tails[1] == "lower" else 1
    inside = (normals * [1, sign])[normals[:, 0] > joint.above]
    least, most = np.array([joint.above, inside[:, 1].min()]), inside.max(axis=0)
    found = []
    for row in rows * [1, sign]:
        beyond = np.count_nonzero((inside >= row).all(axis=1))
        frontier = [inside[inside[:, 1 - k] >= row[1 - k], k].max(initial=least[k]) for k in range(2)]
        gaps = np.clip((row - frontier) / (most - least), 0, 1)
        rarity = -np.log10((beyond + 1) / (len(normals) + 1)) + np.sqrt(gaps.prod())
        found.append(rarity if row[0] > joint.above else 0.0)
    return np.array(found)


@pytest.mark.parametrize("joint", [BOTH, YOUNG])
def test_rarity_is_the_count_of_normals_at_least_as_far_out_in_both(joint: PlainJoint) -> None:
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(20_000, 2)).astype(np.float32)
    rows = rng.normal(size=(300, 2)).astype(np.float32) * 1.5
    found, expected = JointTable.learn(normals, joint, NAMES).rarity(rows), counted(normals, rows, joint)
    assert np.all(found <= expected + 1e-5), "the grid never makes a row rarer than the normals do"
    assert np.mean(expected - found) < 0.05


def test_what_each_value_shows_often_may_never_come_together() -> None:
    rng = np.random.default_rng(1)
    a = rng.uniform(0, 1, 10_000)
    table = JointTable.learn(np.column_stack([a, 1 - a]).astype(np.float32), BOTH, NAMES)
    together, alone = table.rarity(np.array([[0.9, 0.9], [0.9, 0.0]], np.float32))
    assert together == pytest.approx(np.log10(10_001) + 0.8, abs=0.02)
    assert alone == pytest.approx(1, abs=0.1)


def test_beyond_every_normal_the_distance_to_them_orders() -> None:
    normals = np.column_stack([[1, 2, 4], [4, 2, 1]]).astype(np.float32)
    table = JointTable.learn(normals, BOTH, NAMES)
    on_it, near, far, farthest = table.rarity(np.array([[2, 2], [2.4, 2.3], [3, 3], [99, 99]], np.float32))
    assert on_it == pytest.approx(np.log10(2))
    assert near == pytest.approx(np.log10(4) + np.sqrt(1.4 / 4 * 1.3 / 3))
    assert far == pytest.approx(np.log10(4) + np.sqrt(2 / 4 * 2 / 3))
    assert farthest == pytest.approx(np.log10(4) + 1)


def test_below_the_limit_nothing_is_rare_and_without_normals_above_it_everything_is() -> None:
    normals = np.column_stack([np.full(999, -1.0), np.arange(999)]).astype(np.float32)
    table = JointTable.learn(normals, BOTH, NAMES)
    assert table.rarity(np.array([[0.0, 1e9], [1e-3, -5.0]], np.float32)) == pytest.approx([0, 3])


def test_a_range_too_small_to_measure_with_adds_nothing() -> None:
    normals = np.array([[1, 0], [2, 1e-41]], np.float32)
    table = JointTable.learn(normals, BOTH, NAMES)
    assert table.rarity(np.array([[3, 3]], np.float32)) == pytest.approx(np.log10(3))


@given(
    st.lists(st.tuples(st.floats(-9, 9, width=32), st.floats(-9, 9, width=32)), min_size=1, max_size=80),
    st.sampled_from([BOTH, YOUNG]),
)
@settings(max_examples=100)
def test_further_out_is_never_less_rare(values: list[tuple[float, float]], joint: PlainJoint) -> None:
    normals = np.array(values, np.float32)
    table = JointTable.learn(normals, joint, NAMES)
    sign = -1 if joint.tails[1] == "lower" else 1
    steps = np.linspace(0, 20, 30, dtype=np.float32)
    row = normals[0]
    for path in (np.column_stack([row[0] + steps, np.full(30, row[1])]), row + np.outer(steps, [1, sign])):
        assert np.all(np.diff(table.rarity(path.astype(np.float32))) >= 0)
