"""Step profiles: publish the merchant tables that the worker loads."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fraudline.core.clock import DAY_US, now_us
from fraudline.core.log import get_logger
from fraudline.data.store import read_labels, read_transactions
from fraudline.features.profiles import build_profiles, write_profiles
from fraudline.features.spec import FeatureSpec
from fraudline.model.artifact import load_artifact
from fraudline.steps.params import Params
from fraudline.stream.labels import labels_table, newest, read_label_topic
from fraudline.stream.transaction_topic import transactions_since

log = get_logger(__name__)


def profiles(
    *, dataset: Path, profiles: Path, params: Params, model: Path | None = None, topics: bool = False, days: int = 0
) -> dict[str, Any]:
    """Build the merchant tables of a data set, up to the midnight after its end, or of a stream, up to now.

    With topics, what the topics transactions and labels have since the data set ended comes on top, and no table
    begins later than now: run it as often as the specification has tables, and the worker takes each publication.

    Args:
        dataset: the data set folder.
        profiles: folder to write, replaced as a whole: ``YYYY-MM-DDTHH.parquet`` and ``profiles.json``.
        params: ``features`` and ``label_delay_days``; with topics ``stream``.
        model: the artifact whose feature specification counts; by default that of ``params`` does.
        topics: go on from the data set's end with the topics transactions and labels.
        days: tables of the newest days only; 0 for all.

    Returns:
        ``profile_version``, ``tables``, ``merchants`` of the last one, ``newest`` (when it begins), and of the topics
        ``rows`` and ``left_out``, records that hold no transaction.

    Raises:
        DataError: the data set cannot be read.
        SchemaError: a currency has no rate.
        UnavailableError: the broker does not answer.
        UsageError: a topic is missing.
    """
    spec = params.features.resolve() if model is None else load_artifact(model).card_spec
    transactions, labels = read_transactions(dataset), read_labels(dataset)
    read: dict[str, int] = {}
    until = now_us() if topics else None
    if until is not None:
        transactions, labels, read = _gone_on(transactions, labels, params, spec, until)
    end = until if until is not None else _end_of(transactions)
    tables = build_profiles(
        transactions,
        labels,
        spec=spec,
        label_delay_days=params.label_delay_days,
        since=end - days * DAY_US if days else None,
        until=until,
    )
    index = write_profiles(profiles, tables, spec=spec, label_delay_days=params.label_delay_days)
    merchants = tables[max(tables)].num_rows if tables else 0
    result = {"profile_version": index["version"], "tables": len(tables), "merchants": merchants,
              "newest": index["tables"][-1] if tables else "", **read}  # fmt: skip
    log.info("profiles.done", **result)
    return result


def _gone_on(
    transactions: pa.Table, labels: pa.Table, params: Params, spec: FeatureSpec, now_us: int
) -> tuple[pa.Table, pa.Table, dict[str, int]]:
    """A data set's tables with what the topics have since its end, and the counts of what was read."""
    begin = _end_of(transactions) + 1
    newer, left_out = transactions_since(params.stream, spec.currencies, begin, now_us)
    held = newest(read_label_topic(params.stream), before_us=now_us)
    counts = {"rows": newer.num_rows, "left_out": left_out}
    return pa.concat_tables([transactions, newer]), labels_table(held, labels), counts


def _end_of(transactions: pa.Table) -> int:
    """The time of the newest transaction, µs."""
    end: int = pc.max(transactions["event_time"]).cast(pa.int64()).as_py()
    return end
