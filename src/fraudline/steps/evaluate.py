"""Step evaluate: the model on later weeks, beside baselines and the champion on the same rows."""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from fraudline.core.errors import DataError
from fraudline.core.files import atomic_folder, local_path, write_json, write_text
from fraudline.core.log import get_logger
from fraudline.data.splits import Split
from fraudline.data.store import read_meta
from fraudline.features.table import TableSpec
from fraudline.model.artifact import Artifact, load_artifact
from fraudline.model.baselines import baseline_scores
from fraudline.model.evaluation import GENERATED, EvaluationRows, Evaluator, curves
from fraudline.model.evaluation_report import plots, report
from fraudline.model.policies import ChosenOn, policy_table
from fraudline.model.scorer import Scorer
from fraudline.model.segments import segment_figures
from fraudline.model.thresholds import ThresholdParams, check_finite
from fraudline.model.unseen import UNSEEN
from fraudline.monitor.poisoning import SHARE
from fraudline.ops.tracking import step_run
from fraudline.steps.featurize import features_by
from fraudline.steps.labelled import LabelledRows, matrix_of
from fraudline.steps.params import Params

log = get_logger(__name__)


def evaluate(
    *, features: Path, dataset: Path, model: Path, evaluation: Path, params: Params, champion: Path | None = None
) -> dict[str, Any]:
    """Measure the model on the test weeks.

    A champion that computes its features by other rules gets them by its own, over the same transactions.

    Args:
        features: folder of step featurize.
        dataset: folder of step fetch; says whether it was generated, and is read where the champion's features are
            others.
        model: the artifact.
        evaluation: folder to write: ``metrics.json``, ``index.html`` and the tables behind the plots (``roc.csv``,
            ``pr.csv``, ``confusion.csv``, ``score_hist.csv``, ``plots/*.svg``).
        params: ``evaluate``, ``split``, ``label_delay_days``, ``seed``, ``registry``.
        champion: the artifact of the champion; ``params.champion`` when not given, none when that is empty.

    Returns:
        The headline figures.

    Raises:
        DataError: there are no features, too few days, no fraud in the test weeks, the model has seen them, or
            gives one of them a score that is no number.
        ArtifactError: an artifact cannot be verified.
        UsageError: ``params.champion`` names a store that is not on this machine.
    """
    artifact = load_artifact(model)
    with step_run("evaluate", params.registry, digest=artifact.digest) as run:
        run.outlast()
        document = _measured(artifact, _champion(champion, params.champion), features, dataset, evaluation, params)
        headline = {name: value for name, value in document.items() if isinstance(value, int | float)}
        run.metrics({f"test/{name}": value for name, value in headline.items()})
        run.artifact(evaluation / "index.html", "evaluation")
        run.artifact(evaluation / "metrics.json", "evaluation")
        for plot in sorted((evaluation / "plots").iterdir()):
            run.artifact(plot, "evaluation")
    log.info("evaluate.measured", model=artifact.version, **headline)
    return headline


def _measured(
    artifact: Artifact, reigning: Artifact | None, features: Path, dataset: Path, evaluation: Path, params: Params
) -> dict[str, Any]:
    """What ``metrics.json`` holds, written with all else of the folder."""
    rows = _read(features, artifact, params)
    begin = rows.split.test.start
    if seen := _seen_until(artifact, begin):
        raise DataError(
            f"The test days begin on {begin}, and the model {artifact.version} learned from days up to {seen}.",
            "Evaluate with the `split` that it was trained with, or train it again.",
        )
    truth = EvaluationRows.of(rows.test)
    scores = _scores(artifact, rows.test)
    test = matrix_of(rows.test, artifact.spec.names)
    baselines: dict[str, NDArray[np.float64]] = {
        name: baseline_scores(name, rows.normals, test, seed=params.seed, limit=params.evaluate.baseline_rows)
        for name in params.evaluate.baselines
    }
    theirs, obstacle = _champion_scores(reigning, artifact, rows, dataset, params)
    evaluator = Evaluator(truth, params.evaluate, params.seed)
    document = evaluator.document(scores, artifact.thresholds, baselines=baselines, champion=theirs)
    document["policies"] = policy_table(_policy(artifact), _chosen_on(rows, artifact), evaluator, scores)
    document["segments"] = segment_figures(evaluator, scores, artifact.thresholds.review, rows.new)
    if _is_generated(dataset):
        document["origin"] = GENERATED
    if rows.labels_end:
        document["labels_end"] = rows.labels_end
        log.warning("evaluate.labels_end_early", newest=rows.labels_end, note="the last days' frauds may be unreported")
    document["model"] = {"digest": artifact.digest, "version": artifact.version}
    document["period"] = rows.split.test.to_dict()
    document["currency"] = artifact.spec.base_currency
    document[SHARE] = _suspicious_share(artifact)
    if reigning is not None:
        document.setdefault("champion", {"comparable": False, "reason": obstacle})["digest"] = reigning.digest
        document["champion"][SHARE] = _suspicious_share(reigning)
    _write(evaluation, document, curves(truth.labels, scores, artifact.thresholds.review))
    return document


@dataclass(frozen=True)
class _Rows:
    split: Split
    test: pa.Table
    normals: NDArray[np.float32]
    validation: pa.Table
    """With ``known_normal`` and ``known_fraud`` as on the morning of the first test day."""
    new: NDArray[np.bool_]
    """Of the test rows: whether their card was first seen in the test period."""
    labels_end: str
    """Date of the newest label where labels take days and none came after the test days; else empty."""


def _read(features: Path, artifact: Artifact, params: Params) -> _Rows:
    rows = LabelledRows.read(features, artifact.spec, params, columns=None)
    table, times, split = rows.table, rows.times, rows.split
    known = table.append_column("known_normal", pa.array(rows.normal))
    known = known.append_column("known_fraud", pa.array(rows.reported))
    test = split.test.mask(times)
    return _Rows(
        split=split,
        test=table.filter(pa.array(test)),
        normals=matrix_of(table.filter(pa.array(split.train.mask(times) & rows.normal)), artifact.spec.names),
        validation=known.filter(pa.array(split.validation.mask(times))),
        new=~pc.is_in(table["card_id"], table["card_id"].filter(pa.array(~test)).combine_chunks()).to_numpy()[test],
        labels_end=_labels_end(table, split),
    )


def _is_generated(dataset: Path) -> bool:
    """Whether made-up transactions are in the data set, as it says itself."""
    return (dataset / "dataset.json").is_file() and bool(read_meta(dataset).get("generator"))


def _labels_end(table: pa.Table, split: Split) -> str:
    newest = pc.max(table["label_time"].filter(table["is_fraud"])).as_py()
    young = newest is not None and split.label_delay_days > 0 and newest.date() < split.test.end
    return newest.date().isoformat() if young else ""


def _policy(artifact: Artifact) -> ThresholdParams:
    """The policy and figures that the model was packaged with."""
    return ThresholdParams.parse(artifact.meta.params.get("threshold", {}), "model.json")


def _chosen_on(rows: _Rows, artifact: Artifact) -> ChosenOn:
    """What thresholds are chosen on: the validation days, with the labels of the morning after the delay."""
    validation = rows.validation
    return ChosenOn(
        scores=_validation_scores(artifact, validation),
        normal=validation["known_normal"].to_numpy(),
        fraud=validation["known_fraud"].to_numpy(),
        amounts=validation["amount_minor"].to_numpy(),
    )


def _validation_scores(artifact: Artifact, validation: pa.Table) -> NDArray[np.float32]:
    """What a policy chooses on: the scores that the training step chose on, where the artifact has them."""
    if UNSEEN in artifact.content:
        unseen: NDArray[np.float32] = artifact.table(UNSEEN)["score"].to_numpy()
        if len(unseen) == validation.num_rows:
            return unseen
    return _scores(artifact, validation).astype(np.float32)


def _suspicious_share(artifact: Artifact) -> float | None:
    """What its training step estimated; null where too few frauds were known, and for artifacts from before."""
    return (artifact.meta.contamination or {}).get("share")


def _scores(artifact: Artifact, table: pa.Table) -> NDArray[np.float64]:
    return _finite_scores(artifact, matrix_of(table, artifact.spec.names))


def _finite_scores(artifact: Artifact, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    scores = Scorer(artifact).score(matrix).score.astype(np.float64)
    check_finite(scores, f"The model {artifact.version}")
    return scores


def _champion(path: Path | None, uri: str) -> Artifact | None:
    if path is None:
        if not uri:
            return None
        path = local_path(uri)
    return load_artifact(path)


def _seen_until(artifact: Artifact, begin: date) -> date | None:
    """The end of what a model learned from and chose its threshold on, where that lies after ``begin``."""
    days = artifact.meta.params.get("split", {}).get("validation_days")
    if days is None:  # made by hand, and not by step train
        return None
    end = date.fromisoformat(artifact.meta.trained_on.end) + timedelta(days=days)
    return end if end > begin else None


def _champion_scores(
    champion: Artifact | None, artifact: Artifact, rows: _Rows, dataset: Path, params: Params
) -> tuple[NDArray[np.float64] | None, str]:
    """Its scores on the same rows, or why there are none."""
    if champion is None:
        return None, ""
    if seen := _seen_until(champion, rows.split.test.start):
        return None, f"it learned from days up to {seen}, test days among them"
    try:
        matrix = _champion_features(champion, artifact, rows.test, dataset, params.label_delay_days)
        return _finite_scores(champion, matrix), ""
    except DataError as error:
        return None, str(error).removesuffix(".")


def _champion_features(
    champion: Artifact, artifact: Artifact, test: pa.Table, dataset: Path, label_delay_days: int
) -> NDArray[np.float32]:
    """The test rows by the champion's specification: as they are where that has the same rules, or computed anew.

    Raises:
        DataError: they cannot be computed.
    """
    theirs, ours = champion.spec, artifact.spec
    if theirs.version == ours.version:
        return matrix_of(test, theirs.names)
    if isinstance(theirs, TableSpec) or isinstance(ours, TableSpec):
        raise DataError(
            f"It reads columns by the specification {theirs.version}, the candidate by {ours.version}.",
            "Import the file with the spec.yaml that the champion was trained with, and train again.",
        )
    if theirs.rules == ours.rules and set(theirs.names) <= set(test.column_names):
        return matrix_of(test, theirs.names)
    ids, matrix = features_by(theirs, dataset, label_delay_days)
    place = pc.index_in(test["transaction_id"], ids)
    if place.null_count:
        raise DataError(
            f"{dataset} lacks {place.null_count} transactions of the test days.", "Give the data set of the features."
        )
    log.info("evaluate.champion_features", champion=champion.version, spec=theirs.version)
    found: NDArray[np.float32] = matrix[place.to_numpy()]
    return found


def _write(evaluation: Path, document: dict[str, Any], tables: dict[str, pa.Table]) -> None:
    with atomic_folder(evaluation) as folder:
        write_json(folder / "metrics.json", document)
        write_text(folder / "index.html", report(document, tables))
        for name, table in tables.items():
            pyarrow.csv.write_csv(table, folder / f"{name}.csv")
        (folder / "plots").mkdir()
        for name, svg in plots(tables).items():
            write_text(folder / "plots" / f"{name}.svg", svg)
