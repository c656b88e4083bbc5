"""Step profiles: publish the merchant tables that the worker loads."""

from pathlib import Path
from typing import Any

from fraudline.core.log import get_logger
from fraudline.data.store import read_labels, read_transactions
from fraudline.features.profiles import build_profiles, write_profiles
from fraudline.steps.params import Params

log = get_logger(__name__)


def profiles(*, dataset: Path, profiles: Path, params: Params) -> dict[str, Any]:
    """Build the merchant tables of a data set, up to the midnight after its end.

    Args:
        dataset: the data set folder.
        profiles: folder to write, replaced as a whole: ``YYYY-MM-DDTHH.parquet`` and ``profiles.json``.
        params: ``features`` and ``label_delay_days``.

    Returns:
        ``profile_version``, ``tables`` and ``merchants`` of the last one.

    Raises:
        DataError: the data set cannot be read.
        SchemaError: a currency has no rate.
    """
    spec = params.features.resolve()
    tables = build_profiles(
        read_transactions(dataset), read_labels(dataset), spec=spec, label_delay_days=params.label_delay_days
    )
    index = write_profiles(profiles, tables, spec=spec, label_delay_days=params.label_delay_days)
    merchants = tables[max(tables)].num_rows if tables else 0
    log.info("profiles.done", version=index["version"], tables=len(tables), merchants=merchants)
    return {"profile_version": index["version"], "tables": len(tables), "merchants": merchants}
