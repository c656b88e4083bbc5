"""Step skew: what the stream logged against the same transactions through the offline features."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fraudline.core.clock import from_us
from fraudline.core.errors import DataError, SchemaError
from fraudline.core.files import atomic_folder, write_json, write_text
from fraudline.core.log import get_logger
from fraudline.features.columns import columns_from_table
from fraudline.features.engine import FeatureEngine
from fraudline.features.profiles import ProfileTable
from fraudline.model.artifact import Artifact, load_artifact
from fraudline.monitor.skew import Difference, differences, unequal
from fraudline.monitor.window import pieces
from fraudline.steps.params import Params
from fraudline.steps.score_past import past_of
from fraudline.steps.score_rows import all_transactions
from fraudline.steps.skew_page import skew_page

log = get_logger(__name__)

FORMAT = 1
_PROFILED = ("merchant_count", "merchant_risk", "merchant_age")
_OF_THE_CARD_ALONE = {"amount", "card_count_1h", "card_count_1d", "card_amount_1d", "seconds_since_last", "new_device"}


def skew(
    *,
    decisions: Path,
    transactions: Path,
    model: Path,
    report: Path,
    params: Params,
    history: Path | None = None,
    profiles: Path | None = None,
) -> dict[str, Any]:
    """Compare the features of decisions with those of the same transactions offline.

    Args:
        decisions: file or folder of decisions, parquet or JSON lines, with features and transaction ids.
        transactions: those decided on: a data set folder or a file.
        model: the artifact that decided.
        report: folder to write: ``skew.json`` and ``index.html``.
        params: not used; every step has it.
        history: what the cards did before, as the worker was given it; where it holds rows of the decisions, it ends
            before the first of them.
        profiles: the merchant tables of the worker.

    Returns:
        ``rows`` compared, ``differing`` rows, ``features`` that differ and ``unknown`` decisions.

    Raises:
        DataError: no decision is of a transaction that is known.
        SchemaError: a file lacks a column.
    """
    artifact = load_artifact(model)
    spec = artifact.card_spec
    ids, order, logged = _logged(decisions, artifact)
    rows, known = _rows(transactions, ids)
    order, logged, unknown = order[known], logged[known], int((~known).sum())
    place = np.argsort(order, kind="stable")
    rows, logged = rows.take(pa.array(place)), logged[place]
    engine = FeatureEngine(spec, ProfileTable.load(profiles, spec) if profiles is not None else None)
    if history is not None:
        engine.advance(columns_from_table(past_of(history, rows["transaction_id"].combine_chunks())))
    offline = engine.advance(columns_from_table(rows))
    found = differences(spec.names, logged, offline)
    differing = int(unequal(logged, offline).any(axis=1).sum())
    document = {
        "format": FORMAT,
        "model": {"digest": artifact.digest, "version": artifact.version},
        "rows": len(logged),
        "unknown": unknown,
        "differing": differing,
        "features": [_said(each, rows) for each in found],
        "note": _note(found),
    }
    with atomic_folder(report) as folder:
        write_json(folder / "skew.json", document)
        write_text(folder / "index.html", skew_page(document))
    result = {"rows": len(logged), "differing": differing, "features": len(found), "unknown": unknown}
    log.info("skew.measured", model=artifact.version, **result)
    return result


def _logged(decisions: Path, artifact: Artifact) -> tuple[pa.Array, NDArray[np.int64], NDArray[np.float32]]:
    """Ids, place in the stream and features of the decisions; a card's transactions are in one partition.

    Whichever model decided, the canary's too: a worker computes all of them from one state by one specification.
    """
    ids, order, features = [], [], []
    for piece in pieces(decisions, artifact.spec.names, spec_version=artifact.spec.version):
        if piece.ids is None:
            raise SchemaError(f"{decisions} has no column transaction_id.", "Give decisions as the topic holds them.")
        ids.append(piece.ids)
        order.append(piece.offsets)
        features.append(piece.features)
    if not ids:
        raise DataError(f"No decision on the features of {artifact.version}.", "Name the model that decided.")
    if any(each is None for each in order):
        order = [np.arange(sum(map(len, ids)), dtype=np.int64)]
    return pa.concat_arrays(ids), np.concatenate([each for each in order if each is not None]), np.concatenate(features)


def _rows(transactions: Path, ids: pa.Array) -> tuple[pa.Table, NDArray[np.bool_]]:
    """The transactions of the ids that are known, in the order of the ids, and which are."""
    every = all_transactions(transactions)
    at = pc.index_in(ids, value_set=every["transaction_id"].combine_chunks())
    known = pc.is_valid(at).to_numpy(zero_copy_only=False)
    if not known.any():
        raise DataError(f"{transactions} has none of the decisions' transactions.", "Name what was decided on.")
    return every.take(at.drop_null()), known


def _said(each: Difference, rows: pa.Table) -> dict[str, Any]:
    row = rows.slice(each.first, 1).to_pylist()[0]
    moment = rows["event_time"].cast(pa.int64())[each.first].as_py()
    first = {
        "transaction_id": row["transaction_id"],
        "card_id": row["card_id"],
        "event_time": from_us(moment).isoformat(),
    }
    return asdict(each) | {"first": {"row": each.first, **first}}


def _note(found: Sequence[Difference]) -> str:
    """What they have in common: the merchant tables reach into the habits of a card, but not into its counts."""
    names = {each.feature for each in found}
    if any(name.startswith(_PROFILED) for name in names) and not names & _OF_THE_CARD_ALONE:
        return "The card's own features agree: the stream used another merchant table, or none."
    return ""
