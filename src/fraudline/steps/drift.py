"""Step drift: a window of decisions against the traffic that the model learned from."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from fraudline.core.clock import DAY_US, from_us
from fraudline.core.errors import ArtifactError, DataError
from fraudline.core.files import atomic_folder, write_json, write_text
from fraudline.core.log import get_logger
from fraudline.model.artifact import Artifact, load_artifact
from fraudline.monitor.drift import Comparison, Reference
from fraudline.monitor.histograms import SCORE, Bins, Count, Histograms
from fraudline.monitor.window import Piece, pieces
from fraudline.steps.drift_page import drift_page
from fraudline.steps.params import Params

log = get_logger(__name__)

FORMAT = 1
_DAYS = "reference/days.parquet"


def drift(*, decisions: Path, model: Path, report: Path, params: Params, days: int = 0) -> dict[str, Any]:
    """Compare a window of decisions with the reference of the model that made them.

    Args:
        decisions: file or folder of decisions, parquet or JSON lines, with features.
        model: the artifact.
        report: folder to write: ``drift.json`` and ``index.html``.
        params: ``monitor``.
        days: the newest days of the file to take; 0 for all.

    Returns:
        ``verdict`` (stable, drift or inconclusive), ``rows``, ``drifted`` (names) and the ``score_psi``.

    Raises:
        ArtifactError: the artifact has no reference of days.
        DataError: there is no row, or the reference has too few days.
        SchemaError: a file lacks a column.
    """
    artifact = load_artifact(model)
    names = artifact.spec.names
    found = pieces(decisions, names, artifact.version)
    window, scored = _counted(found, artifact)
    if days:
        window = window.only(window.days > window.days[-1] - days)
    comparison = _reference(artifact, scored=scored).compare(window, params.monitor)
    document = _document(comparison, window, artifact, params)
    with atomic_folder(report) as folder:
        write_json(folder / "drift.json", document)
        write_text(folder / "index.html", drift_page(document))
    figure = next((f for f in comparison.figures if f.name == SCORE), None)
    result = {
        "verdict": comparison.verdict,
        "rows": comparison.rows,
        "drifted": [each.name for each in comparison.drifted],
        "score_psi": None if figure is None else figure.psi,
    }
    log.info("drift.measured", model=artifact.version, why=comparison.why, **result)
    return result


def bins_of(artifact: Artifact, *, scored: bool) -> Bins:
    """The bins of an artifact's reference, with those of the score or without.

    Raises:
        ArtifactError: it has no reference of days.
    """
    if _DAYS not in artifact.content:
        raise ArtifactError(
            f"The artifact {artifact.version} has no {_DAYS}: it is from before drift was measured by day.",
            "Train again (`dvc repro train`); the other files of the artifact stay as they are.",
        )
    score = artifact.table("reference/score.parquet") if scored else None
    return Bins.of(artifact.table("reference/features.parquet"), score)


def _reference(artifact: Artifact, *, scored: bool) -> Reference:
    every = Histograms.read(bins_of(artifact, scored=True), artifact.table(_DAYS))
    return Reference(every if scored else every.without_last())


def _counted(found: Iterable[Piece], artifact: Artifact) -> tuple[Histograms, bool]:
    """The window's histograms, and whether it has scores."""
    feed: Iterator[Piece] = iter(found)
    first = next(feed, None)
    if first is None:
        raise DataError(f"No decision of the model {artifact.version}.", "Name the model that decided.")
    scored = first.score is not None
    count = Count(bins_of(artifact, scored=scored))
    piece: Piece | None = first
    while piece is not None:
        score = () if piece.score is None else (piece.score,)
        count.add(piece.times_us, [*np.ascontiguousarray(piece.features.T), *score])
        piece = next(feed, None)
    return count.done(), scored


def _document(comparison: Comparison, window: Histograms, artifact: Artifact, params: Params) -> dict[str, Any]:
    edges = dict(zip(window.bins.names, window.bins.edges, strict=True))
    figures = []
    for figure in comparison.figures:
        values = asdict(figure)
        figures.append(values | {"edges": edges[figure.name].tolist()})
    return {
        "format": FORMAT,
        "verdict": comparison.verdict,
        "why": comparison.why,
        "model": {"digest": artifact.digest, "version": artifact.version},
        "window": {
            "rows": comparison.rows,
            "first": from_us(int(window.days[0]) * DAY_US).date().isoformat(),
            "last": from_us(int(window.days[-1]) * DAY_US).date().isoformat(),
            "by_day": {
                from_us(day * DAY_US).date().isoformat(): rows
                for day, rows in zip(window.days.tolist(), window.rows.sum(axis=1).tolist(), strict=True)
            },
        },
        "reference": artifact.meta.trained_on.model_dump(),
        "params": params.monitor.model_dump(),
        "figures": figures,
    }
