"""Decisions of files as pieces of a window."""

import pyarrow as pa
import pyarrow.parquet as pq
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


def test_an_exported_trail_gives_the_features_of_its_records(tmp_path):
    records = [
        b'{"event_time":%d,"score":2.5,"features":[%d.5],"reasons":[]}' % (1767225600000000 + i, i) for i in (1, 2)
    ]
    table = pa.table({"value": [*records, None], "hash": [b"0" * 32] * 3, "event_time": [1, 2, None]})
    pq.write_table(table, tmp_path / "000000-2026-01-01.parquet")
    (tmp_path / "chain.jsonl").write_text('{"seal":"00"}\n')

    (piece,) = pieces(tmp_path, ["amount"])
    assert piece.times_us.tolist() == [1767225600000001, 1767225600000002]
    assert piece.features.tolist() == [[1.5], [2.5]]
    assert piece.score.tolist() == [2.5, 2.5]
