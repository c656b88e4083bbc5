"""What the demo may stream after: a generated data set as it was made, and no other."""

from pathlib import Path

import pytest

from fraudline.cli.demo.run import _world
from fraudline.core.errors import UsageError
from fraudline.data.store import write_dataset
from tests.support.datasets import SMALL, small_tables


@pytest.mark.parametrize("about", [{}, {"generator": SMALL.model_dump(mode="json"), "collected": {"new": 1}}])
def test_a_data_set_of_ones_own_and_one_that_was_collected_onto_are_no_past_of_the_demo(
    tmp_path: Path, about: dict[str, object]
) -> None:
    write_dataset(tmp_path / "data", *small_tables(), about)
    with pytest.raises(UsageError, match="another one"):
        _world(tmp_path / "data")


def test_a_generated_data_set_goes_on_where_it_ends(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data", *small_tables(), {"generator": SMALL.model_dump(mode="json")})
    assert _world(tmp_path / "data") == SMALL
