"""Labels arrive late, twice and reversed: what holds does not depend on the order."""

import itertools

import pyarrow.compute as pc
import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from fraudline.cli.labels import group as command
from fraudline.core.clock import clock_at, from_us
from fraudline.core.errors import SchemaError
from fraudline.stream import labels
from fraudline.stream.labels import labels_table, newest, read_label_file
from fraudline.stream.messages import Label, encode
from fraudline.stream.params import StreamParams
from fraudline.stream.transport import Record
from tests.support.transactions import DAY, START


def label(name="t1", *, fraud=True, version=1, day=3, kind="chargeback"):
    return Label(name, fraud, kind, version, START + day * DAY)


FIRST = label()
REVERSED = label(fraud=False, version=2, day=20, kind="reversal")
AGAIN = label(version=3, day=30)


@pytest.mark.parametrize("order", list(itertools.permutations([FIRST, REVERSED, AGAIN])))
def test_the_highest_version_holds_whatever_arrives_last(order):
    assert newest(order)["t1"] == AGAIN


def test_a_reversed_chargeback_is_no_fraud_any_more():
    held = newest([REVERSED, FIRST])
    assert held["t1"].is_fraud is False
    assert labels_table(held).num_rows == 0


def test_the_same_label_twice_is_one_and_of_two_with_one_version_the_later_finding_holds():
    later = label(fraud=False, day=4, kind="analyst")
    assert newest([FIRST, FIRST]) == {"t1": FIRST}
    assert newest([later, FIRST])["t1"] == later == newest([FIRST, later])["t1"]
    corrected = label(kind="analyst")
    assert newest([FIRST, corrected])["t1"] == corrected, "sent again with the same version and time: the last one"


def test_what_was_found_later_is_not_known_before():
    held = newest([FIRST, REVERSED], before_us=START + 10 * DAY)
    assert held["t1"] == FIRST
    assert newest([FIRST], before_us=FIRST.labelled_at) == {}, "what is found at a moment is not known before it"


def test_labels_that_hold_are_rows_of_the_training_schema():
    table = labels_table(newest([label("b", day=5), label("a"), label("c", fraud=False)]))
    assert table["transaction_id"].to_pylist() == ["a", "b"]
    assert pc.all(table["is_fraud"]).as_py()


@pytest.mark.parametrize(
    ("line", "said"), [(b'{"transaction_id": "t2"}', "is_fraud"), (b'{"transaction_id": "\xff"}', "utf-8")]
)
def test_a_file_with_a_line_that_is_no_label_is_refused_by_its_place(tmp_path, line, said):
    path = tmp_path / "labels.jsonl"
    path.write_bytes(encode(FIRST) + b"\n" + line + b"\n")
    with pytest.raises(SchemaError, match=rf"labels\.jsonl:2 is no label.*{said}"):
        list(read_label_file(path))


def test_what_is_no_label_on_the_topic_is_left_out_and_named_and_the_labels_around_it_count(monkeypatch):
    values = [encode(FIRST), b"{}", None, b"\xff", encode(label("t2"))]
    records = [Record("labels", 0, offset, 0, b"k", value) for offset, value in enumerate(values)]
    monkeypatch.setattr(labels, "read_topic", lambda *_: iter(records))
    with capture_logs() as said:
        assert list(labels.read_label_topic(StreamParams())) == [FIRST, label("t2")]
    assert [(each["event"], each["records"]) for each in said] == [("labels.foreign", 3)]
    assert said[0]["first"].startswith("labels 0:1 is no label")


def test_a_label_whose_time_is_in_milliseconds_is_refused_with_the_unit_that_is_expected(tmp_path):
    file = tmp_path / "labels.jsonl"
    file.write_bytes(encode(label()).replace(b"%d" % label().labelled_at, b"%d" % (label().labelled_at // 1000)))
    with pytest.raises(SchemaError, match=r"Expected microseconds since the epoch, from 2000 to 2100.*labelled_at"):
        list(read_label_file(file))


def test_a_label_that_is_dated_after_the_present_is_refused_before_anything_is_sent(tmp_path, monkeypatch):
    monkeypatch.setattr(labels, "send_labels", lambda *_: pytest.fail("sent"))
    file = tmp_path / "labels.jsonl"
    file.write_bytes(encode(label()) + b"\n" + encode(label("t2", day=9)))
    with clock_at(from_us(START + 8 * DAY)):
        result = CliRunner().invoke(command, ["send", str(file)])
    assert isinstance(result.exception, SchemaError)
    assert "label of t2 is dated" in result.exception.problem


def test_a_card_number_in_a_label_s_texts_is_masked_where_the_label_comes_in(tmp_path):
    path = tmp_path / "labels.jsonl"
    told = Label("t1", True, "analyst", 1, START, fraud_kind="of 4111111111111111", by="for 4111 1111 1111 1111")
    path.write_bytes(encode(told))
    (found,) = read_label_file(path)
    assert (found.transaction_id, found.fraud_kind, found.by) == (
        "t1",
        "of ************1111",
        "for **** **** **** 1111",
    )


def test_a_card_number_in_a_label_s_texts_is_masked_before_it_is_sent(monkeypatch):
    sent = []

    class Sender:
        send, flush, close = sent.append, lambda _: None, lambda _: None

    monkeypatch.setattr(labels, "open_sender", lambda *_: Sender())
    monkeypatch.setattr(labels, "ensure_topics", lambda *_: None)
    assert labels.send_labels([Label("t1", True, "analyst", 1, START, by="4111111111111111")], StreamParams()) == 1
    assert b'"by":"************1111"' in sent[0].value
