import msgspec
import numpy as np
import pyarrow as pa
import pytest

from fraudline.core.errors import UsageError
from fraudline.data.store import read_labels, read_transactions, write_dataset
from fraudline.features.columns import columns_from_table
from fraudline.features.engine import FeatureEngine
from fraudline.features.spec import load_spec
from fraudline.stream.history import History
from fraudline.stream.partitioning import partition_of
from fraudline.stream.produce import messages_of
from tests.support.datasets import small_dataset

PARTITIONS = 3


def test_a_stream_that_begins_with_history_goes_on_as_one_batch_over_everything(tmp_path):
    dataset = small_dataset(tmp_path)
    spec = load_spec()
    table = read_transactions(dataset)
    whole = FeatureEngine(spec)
    whole.advance(columns_from_table(table))
    later = table.slice(table.num_rows - 500)
    expected = whole.advance(columns_from_table(later))

    history = History(dataset, spec, None, PARTITIONS)
    of_row = np.array([partition_of(card.encode(), PARTITIONS) for card in later["card_id"].to_pylist()])
    assert set(of_row) == set(range(PARTITIONS))
    for partition in range(PARTITIONS):
        found = history.engine(partition).advance(columns_from_table(later.filter(of_row == partition)))
        assert np.array_equal(found, expected[of_row == partition])


def test_a_topic_with_more_partitions_than_the_settings_say_is_named(tmp_path):
    history = History(small_dataset(tmp_path), load_spec(), None, PARTITIONS)
    with pytest.raises(UsageError, match="partition 3, but the settings say 3"):
        history.engine(3)


def test_each_engine_begins_anew(tmp_path):
    history = History(small_dataset(tmp_path), load_spec(), None, PARTITIONS)
    later = columns_from_table(read_transactions(tmp_path / "dataset").slice(0, 10))
    first = history.engine(0).advance(later)
    assert np.array_equal(history.engine(0).advance(later), first)


def test_a_data_set_that_grew_by_the_log_gives_the_state_of_the_one_before_it(tmp_path):
    """As after `data collect`: what the log is about to bring is in the history already."""
    table = read_transactions(small_dataset(tmp_path))
    before, logged = table.slice(0, table.num_rows - 500), table.slice(table.num_rows - 500)
    write_dataset(tmp_path / "before", before, read_labels(tmp_path / "dataset"), {"name": "before"})
    spec = load_spec()
    grown, first = (History(tmp_path / name, spec, None, PARTITIONS) for name in ("dataset", "before"))
    of_row = np.array([partition_of(card.encode(), PARTITIONS) for card in logged["card_id"].to_pylist()])
    for partition in range(PARTITIONS):
        messages = list(messages_of(logged.filter(of_row == partition)))
        assert first.engine(partition).snapshot() == grown.engine(partition, messages[:20]).snapshot()
        assert first.engine(partition).snapshot() != grown.engine(partition).snapshot()


def test_where_the_first_of_the_log_are_not_in_the_data_set_it_ends_with_them(tmp_path):
    """As a window of weeks that begins after the log does, or where the first were blocked and never looked at."""
    table = read_transactions(small_dataset(tmp_path))
    logged = table.slice(table.num_rows - 500)
    labels, spec = read_labels(tmp_path / "dataset"), load_spec()
    parts = {"before": table.slice(0, table.num_rows - 500), "window": logged.slice(100)}
    parts["gap"] = pa.concat_tables([parts["before"], parts["window"]])
    for name, part in parts.items():
        write_dataset(tmp_path / name, part, labels, {"name": name})
    before, window, gap = (History(tmp_path / name, spec, None, 1).engine for name in parts)
    first = list(messages_of(logged.slice(0, 100)))
    assert gap(0, first).snapshot() == before(0).snapshot()
    assert window(0, first).snapshot() == FeatureEngine(spec).snapshot()
    absurd = [msgspec.structs.replace(first[0], event_time=4_000_000_000_000_000), *first[1:]]
    assert gap(0, absurd).snapshot() == before(0).snapshot()


def test_a_late_or_absurd_first_transaction_leaves_the_history_as_it_is(tmp_path):
    table = read_transactions(small_dataset(tmp_path))
    history = History(tmp_path / "dataset", load_spec(), None, 1)
    late = msgspec.structs.replace(
        next(iter(messages_of(table.slice(0, 1)))), transaction_id="live", event_time=1_000_000_000_000_000
    )
    assert history.engine(0, [late]).snapshot() == history.engine(0).snapshot()


def test_the_partition_is_the_one_of_kafkas_default_partitioner():
    # values of org.apache.kafka.common.utils.Utils.murmur2 from Kafka's own test (UtilsTest.testMurmur2)
    known = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
    for key, murmur2 in known.items():
        assert partition_of(key, 1_000_003) == (murmur2 & 0x7FFFFFFF) % 1_000_003
