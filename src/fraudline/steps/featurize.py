"""Step featurize: merchant tables, then one pass of the feature engine over the whole data set."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fraudline.core.files import atomic_folder
from fraudline.core.log import get_logger
from fraudline.data.money import in_base
from fraudline.data.schema import ORDER
from fraudline.data.store import read_labels, read_transactions
from fraudline.features.columns import columns_from_table
from fraudline.features.engine import FeatureEngine
from fraudline.features.profiles import ProfileTable, build_profiles
from fraudline.features.spec import FeatureSpec
from fraudline.steps.labelled import RULES, SILENT
from fraudline.steps.params import Params
from fraudline.steps.profiles import profiles as publish_profiles

log = get_logger(__name__)

CATEGORY_RARITY = "category_rarity"

_KEYS = ("transaction_id", "event_time", "card_id", "merchant_id", "amount_minor")


def featurize(*, dataset: Path, features: Path, profiles: Path, params: Params) -> dict[str, Any]:
    """Write ``features.parquet``: keys, the features of every transaction in time order, and its label.

    Args:
        dataset: the data set folder.
        features: folder to write, replaced as a whole.
        profiles: folder of the merchant tables to write, replaced as a whole.
        params: ``features`` and ``label_delay_days``.

    Returns:
        ``rows``, ``features``, ``frauds``, ``cards``, ``spec_version`` and ``profile_version``.

    Raises:
        DataError: the data set cannot be read.
        SchemaError: a currency has no rate.
    """
    published = publish_profiles(dataset=dataset, profiles=profiles, params=params)
    spec = params.features.resolve()
    engine = FeatureEngine(spec, ProfileTable.load(profiles, spec))
    transactions = read_transactions(dataset).sort_by(ORDER)
    matrix = engine.advance(columns_from_table(transactions))
    table = features_table(transactions, matrix, spec, read_labels(dataset))
    with atomic_folder(features) as folder:
        pq.write_table(table, folder / "features.parquet", compression="zstd")
    result = {
        "rows": table.num_rows,
        "features": len(spec.names),
        "frauds": int(np.count_nonzero(table["is_fraud"].to_numpy())),
        "cards": engine.cards,
        "spec_version": spec.version,
        "profile_version": published["profile_version"],
    }
    log.info("featurize.done", **result)
    return result


def features_by(spec: FeatureSpec, dataset: Path, label_delay_days: int) -> tuple[pa.Array, NDArray[np.float32]]:
    """What the step computes by another specification, and writes nowhere.

    Returns:
        The ids of all transactions in time order, and their features, ``(n, d)`` float32.

    Raises:
        DataError: the data set cannot be read.
        SchemaError: a currency has no rate.
    """
    transactions, labels = read_transactions(dataset).sort_by(ORDER), read_labels(dataset)
    tables = build_profiles(transactions, labels, spec=spec, label_delay_days=label_delay_days)
    engine = FeatureEngine(spec, ProfileTable.of(tables, spec, "computed"))
    return transactions["transaction_id"].combine_chunks(), engine.advance(columns_from_table(transactions))


def features_table(
    transactions: pa.Table, matrix: NDArray[np.float32], spec: FeatureSpec, labels: pa.Table
) -> pa.Table:
    """Keys, features and labels side by side, rows as in ``transactions``.

    ``amount_minor`` is in the base currency, so that money can be summed over rows.

    Args:
        transactions: ``n`` rows of ``schema.TRANSACTIONS``.
        matrix: ``(n, d)`` float32, columns in the order of ``spec.names``.
        spec: names the columns; its rules are named in the table's metadata, under ``RULES``.
        labels: rows of ``schema.LABELS``; a transaction without one is no fraud and has no label time.
    """
    place = pc.index_in(transactions["transaction_id"], labels["transaction_id"].combine_chunks())
    arrays: dict[str, Any] = {name: transactions[name] for name in _KEYS}
    arrays["amount_minor"] = _in_base_currency(transactions, spec)
    arrays |= {name: pa.array(matrix[:, k]) for k, name in enumerate(spec.names)}
    arrays["is_fraud"] = pc.fill_null(labels["is_fraud"].take(place), False)
    arrays["label_time"] = labels["label_time"].take(place)
    arrays["fraud_kind"] = labels["fraud_kind"].take(place)
    silent = _silent(transactions, spec)
    return pa.table(arrays, metadata={RULES: spec.rules} | ({SILENT: ",".join(silent)} if silent else {}))


def _silent(transactions: pa.Table, spec: FeatureSpec) -> list[str]:
    """Features that mean nothing here: where all categories are one, their rarity only says that a card is new."""
    if CATEGORY_RARITY not in spec.names or pc.count_distinct(transactions["category"]).as_py() > 1:
        return []
    log.warning(
        "featurize.one_category",
        left_out=CATEGORY_RARITY,
        note=f"all transactions have category {transactions['category'][0]}, so no model learns from its rarity",
    )
    return [CATEGORY_RARITY]


def _in_base_currency(transactions: pa.Table, spec: FeatureSpec) -> pa.Array:
    """Amounts in minor units of the base currency, (n,) int64; those in it stay as they are."""
    amounts, currencies = transactions["amount_minor"].to_numpy(), transactions["currency"].combine_chunks()
    return pa.array(np.rint(in_base(amounts, currencies, spec.minor_rates)), pa.int64())
