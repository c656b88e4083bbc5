"""Decisions of files as pieces of a window."""

import pytest

from fraudline.core.errors import SchemaError
from fraudline.monitor.window import pieces


def test_a_decision_without_a_time_is_refused_and_not_taken_for_one_of_a_time_before_all_others(tmp_path):
    file = tmp_path / "decisions.jsonl"
    file.write_text('{"event_time":1767225600000000,"features":[1.5]}\n{"event_time":null,"features":[2.5]}\n')
    with pytest.raises(SchemaError, match="1 of 2 rows have no event_time"):
        list(pieces(file, ["amount"]))
    file.write_text('{"event_time":1767225600000000,"features":[1.5]}\n')
    assert [piece.times_us.tolist() for piece in pieces(file, ["amount"])] == [[1767225600000000]]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('"event_time":1767225600000000,"features":{"amount":1.5}', "features .* not lists of numbers"),
        ('"event_time":1767225600000000,"features":1.5', "features .* not lists of numbers"),
        ('"event_time":1767225600000000,"features":null', "features .* not lists of numbers"),
        ('"event_time":{"at":1},"features":[1.5]', "cannot be read"),
        ('"event_time":1767225600000000,"features":[1.5],"score":{"value":1}', "cannot be read"),
        ('"event_time":1767225600000000,"features":[1.5],"model_version":7', "cannot be read"),
    ],
)
def test_a_column_of_another_type_is_an_error_of_the_file_and_no_traceback(tmp_path, row, said):
    file = tmp_path / "decisions.jsonl"
    file.write_text(f"{{{row}}}\n")
    with pytest.raises(SchemaError, match=said):
        list(pieces(file, ["amount"], "3f2a"))
