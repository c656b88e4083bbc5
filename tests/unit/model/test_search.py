"""The search space: what is in it fits params.yaml, and what is wrong is named."""

import pytest

from fraudline.core.errors import UsageError
from fraudline.model.search import SearchSpace, load_space, merged, nested, parse_point
from fraudline.steps.params import Params


def test_every_value_of_the_packaged_space_is_accepted_by_the_parameters() -> None:
    base = Params().model_dump()
    for entry in load_space().parameters:
        values = entry.values if entry.kind == "choice" else (entry.low, entry.high)
        for value in values:
            given = int(value) if entry.kind == "int" else value
            Params.parse(merged(base, nested({entry.name: given})), entry.name)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"name": "train.clip", "kind": "float", "low": 2.0, "high": 1.0}, "low < high"),
        ({"name": "train.clip", "kind": "float", "low": 0.0, "high": 1.0, "log": True}, "above 0"),
        ({"name": "train.clip", "kind": "choice", "values": [1]}, "at least two"),
        ({"name": "clip", "kind": "choice", "values": [1, 2]}, "pattern"),
        ({"name": "train.clip", "kind": "dice"}, "kind"),
    ],
)
def test_a_wrong_range_is_named(entry: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        SearchSpace.parse({"format": 1, "parameters": [entry]}, "space.yaml")


def test_the_same_parameter_twice_is_refused() -> None:
    entry = {"name": "train.clip", "kind": "float", "low": 1.0, "high": 2.0}
    with pytest.raises(UsageError, match="named twice"):
        SearchSpace.parse({"format": 1, "parameters": [entry, entry]}, "space.yaml")


def test_a_setting_without_a_value_is_refused() -> None:
    with pytest.raises(UsageError, match="no setting"):
        parse_point(("train.epochs",))


def test_sections_are_merged_and_lists_replaced() -> None:
    base = {"train": {"epochs": 3, "hidden": [8]}, "seed": 1}
    assert merged(base, {"train": {"hidden": [4, 2]}}) == {"train": {"epochs": 3, "hidden": [4, 2]}, "seed": 1}
