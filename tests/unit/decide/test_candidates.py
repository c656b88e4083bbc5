"""What a side of a comparison is called where people read it."""

import pytest

from fraudline.decide.candidates import named


@pytest.mark.parametrize(("kept", "shown"), [("a" * 64, "a" * 12), ("thresholds.jsonl", "thresholds.jsonl")])
def test_a_stored_model_is_called_by_its_version_and_a_file_by_its_name(tmp_path, kept, shown):
    (tmp_path / kept).mkdir()
    assert named(str(tmp_path / kept)) == shown


def test_a_policy_is_called_as_it_was_given():
    assert named("cost:0.01") == "cost:0.01"
