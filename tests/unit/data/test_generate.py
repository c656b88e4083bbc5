"""The generator: deterministic, continuable, and with the properties that the feature engine relies on."""

import hashlib
import subprocess
import sys
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from fraudline.core.clock import DAY_US
from fraudline.core.errors import UsageError
from fraudline.data.generate import KINDS, generate, generate_live
from fraudline.data.params import GenerateParams
from fraudline.data.schema import CHANNELS, LABELS, TRANSACTIONS
from tests.support.datasets import SMALL, small_tables

TINY = GenerateParams(days=4, cards=60, merchants=150, seed=3)
FINGERPRINT = """
import hashlib, pyarrow as pa
from fraudline.data.generate import generate
from fraudline.data.params import GenerateParams
digest = hashlib.sha256()
for table in generate(GenerateParams(days=4, cards=60, merchants=150, seed=3)):
    digest.update(repr(table.to_pydict()).encode())
print(digest.hexdigest())
"""


def fingerprint(params: GenerateParams) -> str:
    digest = hashlib.sha256()
    for table in generate(params):
        digest.update(repr(table.to_pydict()).encode())
    return digest.hexdigest()


def test_two_processes_generate_the_same_rows() -> None:
    done = subprocess.run([sys.executable, "-c", FINGERPRINT], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == fingerprint(TINY)


def test_another_seed_gives_other_rows() -> None:
    assert fingerprint(TINY) != fingerprint(TINY.model_copy(update={"seed": 4}))


def test_a_longer_set_begins_with_the_shorter_one() -> None:
    short, _ = small_tables()
    longer, _ = generate(SMALL.model_copy(update={"days": SMALL.days + 2}))

    assert longer.slice(0, short.num_rows).equals(short)


def test_days_made_alone_continue_the_same_world() -> None:
    everything, labels = generate(SMALL.model_copy(update={"days": SMALL.days + 3}))

    more, more_labels = generate(SMALL, first_day=SMALL.days, days=3)

    assert everything.slice(everything.num_rows - more.num_rows).equals(more)
    later = labels.filter(pc.is_in(labels["transaction_id"], value_set=more["transaction_id"].combine_chunks()))
    assert later.equals(more_labels)


def test_tables_have_the_schema_and_its_order() -> None:
    transactions, labels = small_tables()

    assert transactions.schema == TRANSACTIONS
    assert labels.schema == LABELS
    assert transactions.equals(transactions.sort_by([("event_time", "ascending"), ("transaction_id", "ascending")]))
    assert labels.equals(labels.sort_by([("label_time", "ascending"), ("transaction_id", "ascending")]))


def test_identifiers_are_unique_and_ascend_with_time() -> None:
    ids = small_tables()[0]["transaction_id"].to_pylist()

    assert len(set(ids)) == len(ids)
    assert ids == sorted(ids)


def test_every_fraud_kind_occurs_and_the_rate_is_near_the_parameter() -> None:
    transactions, labels = small_tables()

    assert set(labels["fraud_kind"].to_pylist()) == set(KINDS)
    assert SMALL.fraud_rate / 2 < labels.num_rows / transactions.num_rows < SMALL.fraud_rate * 2


def test_labels_arrive_two_to_twelve_days_late_and_most_within_a_week() -> None:
    transactions, labels = small_tables()
    place = pc.index_in(labels["transaction_id"], value_set=transactions["transaction_id"].combine_chunks())
    event = transactions["event_time"].take(place).cast(pa.int64()).to_numpy()
    delay = (labels["label_time"].cast(pa.int64()).to_numpy() - event) / DAY_US

    assert delay.min() >= 1.99
    assert delay.max() <= 12
    assert 0.85 <= (delay < 7).mean() < 1


def test_only_a_present_card_has_a_position_and_only_an_online_one_a_device() -> None:
    table = small_tables()[0]
    present = table["card_present"].to_numpy()

    assert (table["latitude"].is_valid().to_numpy() == present).all()
    assert (table["longitude"].is_valid().to_numpy() == present).all()
    assert not (table["device_id"].is_valid().to_numpy() & present).any()
    assert set(table["channel"].to_pylist()) == set(CHANNELS)


def test_amounts_are_positive_minor_units() -> None:
    amounts = small_tables()[0]["amount_minor"].to_numpy()

    assert amounts.min() >= 50
    assert 1_000 < np.median(amounts) < 10_000


def test_a_merchant_keeps_its_place_category_and_country() -> None:
    table = small_tables()[0]
    columns = ["merchant_id", "category", "country", "latitude", "longitude"]

    assert len(table.select(columns).group_by(columns).aggregate([])) == len(table["merchant_id"].unique())


def test_no_fraud_rate_means_no_fraud() -> None:
    _, labels = generate(TINY.model_copy(update={"fraud_rate": 0.0}))

    assert labels.num_rows == 0


@pytest.mark.parametrize("minutes", [90, 24 * 60])
def test_live_traffic_follows_the_set_and_has_a_campaign_of_each_kind(minutes: int) -> None:
    transactions, labels = generate_live(SMALL, minutes=minutes)
    begin = SMALL.start + timedelta(days=SMALL.days)
    times = transactions["event_time"].to_pylist()

    assert times[0].date() == begin
    assert (times[-1] - times[0]) <= timedelta(minutes=minutes)
    assert not set(transactions["transaction_id"].to_pylist()) & set(small_tables()[0]["transaction_id"].to_pylist())
    known = set(small_tables()[0]["card_id"].to_pylist())
    assert len(set(transactions["card_id"].to_pylist()) - known) <= 15
    if minutes >= 24 * 60:
        assert set(labels["fraud_kind"].to_pylist()) == set(KINDS)


def test_a_day_with_more_rows_than_identifiers_have_room_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fraudline.data.generate.ROWS_A_DAY", 10)

    with pytest.raises(UsageError, match="room for 10 a day"):
        generate(TINY)
