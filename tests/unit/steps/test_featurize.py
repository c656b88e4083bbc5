"""Step featurize writes what its contract says, the same each time."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from structlog.testing import capture_logs

from fraudline.core.digest import sha256_file
from fraudline.data.store import read_transactions, write_dataset
from fraudline.features.columns import columns_from_table
from fraudline.features.engine import FeatureEngine
from fraudline.features.profiles import ProfileTable
from fraudline.features.spec import load_spec
from fraudline.steps.featurize import featurize
from fraudline.steps.labelled import learned_spec
from fraudline.steps.params import Params
from fraudline.steps.profiles import profiles as profiles_step
from tests.support.transactions import DAY, START, labels_of, random_table, table_of, transaction

SPEC = load_spec()


def dataset(tmp_path):
    labels = labels_of([(f"t{i:06d}", START + (20 + i % 20) * DAY) for i in range(0, 300, 11)])
    write_dataset(tmp_path / "data", random_table(5, 300), labels, {"name": "test"})
    return tmp_path / "data"


def test_features_have_keys_then_the_specification_then_labels_in_time_order(tmp_path):
    data = dataset(tmp_path)
    result = featurize(dataset=data, features=tmp_path / "f", profiles=tmp_path / "p", params=Params())
    table = pq.read_table(tmp_path / "f" / "features.parquet")
    keys = ["transaction_id", "event_time", "card_id", "merchant_id", "amount_minor"]
    assert table.column_names == [*keys, *SPEC.names, "is_fraud", "label_time", "fraud_kind"]
    assert {table.schema.field(name).type for name in SPEC.names} == {pa.float32()}
    assert table.schema.field("event_time").type == table.schema.field("label_time").type == pa.timestamp("us", "UTC")
    order = list(zip(table["event_time"].to_pylist(), table["transaction_id"].to_pylist(), strict=True))
    assert order == sorted(order)
    assert table["is_fraud"].null_count == 0
    assert table["is_fraud"].to_pylist() == [value is not None for value in table["label_time"].to_pylist()]
    assert result["frauds"] == sum(table["is_fraud"].to_pylist()) == 28
    assert (result["rows"], result["spec_version"]) == (300, SPEC.version)


def test_the_stream_engine_with_the_published_profiles_gives_the_same_features(tmp_path):
    data = dataset(tmp_path)
    featurize(dataset=data, features=tmp_path / "f", profiles=tmp_path / "p", params=Params())
    table = pq.read_table(tmp_path / "f" / "features.parquet")
    engine = FeatureEngine(SPEC, ProfileTable.load(tmp_path / "p", SPEC))
    rows = read_transactions(data)
    got = np.concatenate([engine.advance(columns_from_table(rows.slice(i, 64))) for i in range(0, 300, 64)])
    assert got.tobytes() == np.column_stack([table[name].to_numpy() for name in SPEC.names]).tobytes()


def test_running_again_gives_the_same_bytes_and_profiles_alone_the_same_version(tmp_path):
    data = dataset(tmp_path)
    first = featurize(dataset=data, features=tmp_path / "f", profiles=tmp_path / "p", params=Params())
    before = sha256_file(tmp_path / "f" / "features.parquet")
    assert featurize(dataset=data, features=tmp_path / "f", profiles=tmp_path / "p", params=Params()) == first
    assert sha256_file(tmp_path / "f" / "features.parquet") == before
    alone = profiles_step(dataset=data, profiles=tmp_path / "q", params=Params())
    assert alone["profile_version"] == first["profile_version"]


def test_amounts_of_other_currencies_are_money_of_the_base_currency_where_they_are_summed(tmp_path):
    """A thousand yen are some six euros, and not ten, to what counts the money that a model saves."""
    given = [("EUR", 1234, 1234), ("JPY", 1000, 620), ("KWD", 1000, 300), ("USD", 1000, 920)]
    rows = [
        transaction(k * 60, transaction_id=f"t{k}", amount_minor=amount, currency=currency)
        for k, (currency, amount, _) in enumerate(given)
    ]
    write_dataset(tmp_path / "data", table_of(rows), labels_of([]), {"name": "test"})
    featurize(dataset=tmp_path / "data", features=tmp_path / "f", profiles=tmp_path / "p", params=Params())
    table = pq.read_table(tmp_path / "f" / "features.parquet")
    assert table["amount_minor"].to_pylist() == [euros for _, _, euros in given]


@pytest.mark.parametrize("categories", [(5999, 5999), (5411, 5999)])
def test_where_all_transactions_have_one_category_no_model_learns_that_a_new_card_is_rare(tmp_path, categories):
    """A card's first transaction has the rarity log 2; without other categories nothing else ever comes near it."""
    rows = [transaction(k * 60, transaction_id=f"t{k}", category=category) for k, category in enumerate(categories)]
    write_dataset(tmp_path / "data", table_of(rows), labels_of([]), {"name": "test"})
    with capture_logs() as told:
        featurize(dataset=tmp_path / "data", features=tmp_path / "f", profiles=tmp_path / "p", params=Params())
    spec = learned_spec(tmp_path / "f", Params())
    if len(set(categories)) > 1:
        assert spec == SPEC
        assert not [line for line in told if line["event"] == "featurize.one_category"]
    else:
        assert spec == SPEC.without(["category_rarity"])
        (line,) = [line for line in told if line["event"] == "featurize.one_category"]
        assert (line["left_out"], "5999" in line["note"]) == ("category_rarity", True)


def test_what_is_remembered_of_a_feature_that_means_nothing_goes_with_it(tmp_path):
    write_dataset(tmp_path / "data", table_of([transaction(0)]), labels_of([]), {"name": "test"})
    params = Params.model_validate({"features": {"history": ["amount", "category_rarity"], "history_rows": 2}})
    featurize(dataset=tmp_path / "data", features=tmp_path / "f", profiles=tmp_path / "p", params=params)
    assert learned_spec(tmp_path / "f", params) == SPEC.without(["category_rarity"]).with_history(["amount"], 2)
