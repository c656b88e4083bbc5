"""Short data sets that tests damage."""

from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from fraudline.data.store import write_dataset


def dataset_of_days(folder: Path, transactions: pa.Table, labels: pa.Table, *, days: int) -> Path:
    """Write the first days of a set, with the labels of their transactions; the data set's folder comes back."""
    first = transactions["event_time"][0].as_py().replace(hour=0, minute=0, second=0, microsecond=0)
    end = pa.scalar(first + timedelta(days=days), type=transactions.schema.field("event_time").type)
    kept = transactions.filter(pc.less(transactions["event_time"], end))
    known = labels.filter(pc.is_in(labels["transaction_id"], value_set=kept["transaction_id"].combine_chunks()))
    write_dataset(folder / "dataset", kept, known, {"name": "short"})
    return folder / "dataset"
