import pytest

from fraudline.core.errors import UsageError
from fraudline.ops.local.weights import checked_weights


@pytest.mark.parametrize(
    "weights", [{"a": 0, "b": 0}, {"a": -1, "b": 1}, {"a": 0.5, "b": 0.5}, {"a": True, "b": False}], ids=str
)
def test_weights_that_split_nothing_are_refused(weights):
    with pytest.raises(UsageError, match="are no split"):
        checked_weights(weights, ["a", "b"])


def test_weights_are_of_the_upstreams():
    assert checked_weights({"a": 0, "b": 1}, ["a", "b"]) == {"a": 0, "b": 1}
    with pytest.raises(UsageError, match="the upstreams are"):
        checked_weights({"a": 1}, ["a", "b"])
