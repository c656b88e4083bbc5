"""Step train: known normals in (labelled rows, for a supervised kind), a model artifact out.

The same features, parameters and seed give the same digest; the run's figures go to MLflow, never into the artifact,
and an MLflow server that goes away while a model is fitted does not take the model with it.
"""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fraudline.core.clock import DAY_US
from fraudline.core.errors import DataError, UsageError
from fraudline.core.files import atomic_folder, read_json, write_json, write_text
from fraudline.core.log import get_logger
from fraudline.data.splits import Split
from fraudline.features.spec import FeatureSpec
from fraudline.features.table import TableSpec
from fraudline.model import golden
from fraudline.model.artifact import FORMAT, ModelMeta, TrainedOn, write_manifest
from fraudline.model.card import card
from fraudline.model.kinds import HYBRID, Fitted, TrainingRows, fit_kind
from fraudline.model.params import AUTOENCODERS
from fraudline.model.runtime import load_tensorflow
from fraudline.model.scorer import GraphScorer, open_graph
from fraudline.model.thresholds import Thresholds, choose
from fraudline.model.trimming import FEW_FRAUDS, trimmed
from fraudline.model.unseen import UNSEEN, unseen_scores
from fraudline.monitor.poisoning import SHARE, contamination
from fraudline.monitor.reference import day_reference, feature_reference, row_reference, score_reference
from fraudline.ops.recorders import StepRun
from fraudline.ops.tracking import step_run
from fraudline.steps.labelled import LabelledRows, learned_spec, matrix_of
from fraudline.steps.params import Params

if TYPE_CHECKING:
    from fraudline.model.training import Epoch

log = get_logger(__name__)

MODEL_NAME = "fraud"
_FETCH = "Run the fetch step first."
_FEW = f"with fewer than {FEW_FRAUDS}, a third and more of the unreported frauds stay among the normals"

EPOCH_LISTENER: ContextVar["Callable[[Epoch], None] | None"] = ContextVar("EPOCH_LISTENER", default=None)
"""Who wants to hear of every epoch (the command line's progress bar)."""


def train(*, features: Path, dataset: Path, model: Path, params: Params) -> dict[str, Any]:
    """Fit a model of the kind ``train.kind`` and write the artifact.

    Args:
        features: folder of step featurize.
        dataset: folder of step fetch; its ``fetch.json`` names the data.
        model: folder to write.
        params: ``train``, ``threshold``, ``split``, ``label_delay_days``, ``seed``, ``registry``.

    Returns:
        ``digest``, thresholds, rows and losses.

    Raises:
        DataError: there are no features, too few days, too few known normals, or, for a supervised kind, frauds.
        UsageError: the library of a supervised kind is not installed.
    """
    data_md5 = _data_md5(dataset)
    if params.train.kind in (*AUTOENCODERS, HYBRID):
        load_tensorflow()
    spec = learned_spec(features, params)
    with step_run("train", params.registry) as run:
        run.params(_recorded(params))
        run.data(data_md5)
        run.outlast()
        rows = _Rows.read(features, spec, params).trimmed(params)
        fitted = fit_kind(rows.learned, spec, params.train, params.seed, _listener(run))
        with atomic_folder(model, sometimes=("savedmodel", "reference")) as folder:
            thresholds, digest = _write(folder, fitted, rows, spec, params, data_md5)
        run.made(digest)
        run.artifact(model / "card.md", "model")
        run.artifact(model / "model.json", "model")
        figures = _figures(fitted)
        if rows.contamination and rows.contamination["share"] is not None:
            figures |= {SHARE: rows.contamination["share"], "trimmed": rows.contamination["trimmed"]}
        run.metrics({f"train/{name}": value for name, value in figures.items()})
        run.metrics({"threshold/review": thresholds.review, "threshold/block": thresholds.block})
    log.info("train.done", digest=digest[:12], kind=params.train.kind, rows=fitted.rows, epochs=len(fitted.history))
    return {"digest": digest, **figures, "review": thresholds.review, "block": thresholds.block}


@dataclass(frozen=True)
class _Rows:
    """What the step takes from ``features.parquet``; (n, d) float32 matrices of raw features."""

    split: Split
    learned: TrainingRows
    validation: NDArray[np.float32]
    validation_normal: NDArray[np.bool_]
    validation_fraud: NDArray[np.bool_]
    validation_amounts: NDArray[np.int64]
    period: NDArray[np.float32]
    period_times: NDArray[np.int64]
    cards: NDArray[np.object_]
    days: NDArray[np.int64]
    validation_learned: NDArray[np.bool_]
    contamination: dict[str, Any] | None = None

    @classmethod
    def read(cls, features: Path, spec: FeatureSpec | TableSpec, params: Params) -> "_Rows":
        """Cut the table by time and by the labels that had arrived when the test period began."""
        known = LabelledRows.read(features, spec, params, ("card_id", "amount_minor"))
        times, split, normal, reported = known.times, known.split, known.normal, known.reported
        matrix = matrix_of(known.table, spec.names)
        cards = known.table["card_id"].to_numpy(zero_copy_only=False)
        training, validation = split.train.mask(times), split.validation.mask(times)
        rows = cls(
            split,
            TrainingRows(
                matrix[training & normal], matrix[validation & normal], matrix[(training | validation) & reported]
            ),
            matrix[validation],
            normal[validation],
            reported[validation],
            known.table["amount_minor"].to_numpy()[validation],
            matrix[training | validation],
            times[training | validation],
            np.concatenate([cards[training & normal], cards[validation & normal]]),
            np.concatenate([times[training & normal], times[validation & normal]]) // DAY_US,
            normal[validation],
        )
        log.info(
            "train.rows", train=len(rows.learned.normals), validation=len(rows.validation), **split.train.to_dict()
        )
        return rows

    def trimmed(self, params: Params) -> "_Rows":
        """The rows without the normals that look like unreported frauds, where their share asks for it."""
        learned, found = trimmed(self.learned, params.train.trim, params.seed)
        record = contamination(
            share=found.share, suspicious=found.rows, trimmed=found.trims, cards=self.cards, days=self.days
        )
        log.info("train.suspicious", share=record["share"], trimmed=record["trimmed"])
        if found.share is not None and len(learned.frauds) < FEW_FRAUDS:
            log.warning("train.few_known_frauds", known=len(learned.frauds), note=_FEW)
        still = self.validation_learned.copy()
        still[still] = found.kept[len(self.learned.normals) :]
        return replace(self, learned=learned, validation_learned=still, contamination=record)

    def unseen_scores(
        self, fitted: Fitted, spec: FeatureSpec | TableSpec, params: Params
    ) -> NDArray[np.float32] | None:
        """Scores of the validation rows that thresholds are chosen on: the model itself learned from these rows.

        None where too few frauds or normals are known to leave some out.
        """
        frauds, mine = self.learned.frauds, int(np.count_nonzero(self.validation_fraud))
        earlier = replace(self.learned, frauds=frauds[: len(frauds) - mine])
        learned = (self.validation_learned, self.validation_fraud)
        try:
            return unseen_scores(fitted, earlier, self.validation, *learned, spec, params.train, params.seed)
        except (DataError, UsageError) as error:
            log.warning("train.thresholds_on_rows_learned_from", reason=error.problem)
            return None


def _write(
    folder: Path, fitted: Fitted, rows: _Rows, spec: FeatureSpec | TableSpec, params: Params, data_md5: str
) -> tuple[Thresholds, str]:
    """Everything of the artifact, the manifest last."""
    fitted.export(folder)
    scorer = open_graph(folder, spec.names, fitted.reasons)
    scores = scorer.score(rows.validation).score
    unseen = rows.unseen_scores(fitted, spec, params)
    chosen_on = scores if unseen is None else unseen
    thresholds = choose(
        params.threshold,
        chosen_on,
        known_normal=rows.validation_normal,
        known_fraud=rows.validation_fraud,
        amounts_minor=rows.validation_amounts,
    )
    chosen = rows.validation[golden.choose_golden(rows.validation_fraud)]
    _parquet(golden.golden_table(spec.names, chosen, scorer.score(chosen)), folder / "golden.parquet")
    alike = params.train.kind in AUTOENCODERS  # trees that grew anew have another zero
    _reference(folder / "reference", rows, scorer, chosen_on if alike else scores)
    if unseen is not None:
        _parquet(pa.table({"score": unseen}), folder / UNSEEN)
    span = rows.split.train.to_dict()
    meta = ModelMeta(
        format=FORMAT,
        name=MODEL_NAME,
        feature_spec=spec.to_dict(),
        architecture=fitted.architecture(),
        thresholds=thresholds,
        data_md5=data_md5,
        params=_recorded(params),
        formats=fitted.formats,
        reasons=fitted.reasons,
        trained_on=TrainedOn(start=span["start"], end=span["end"], rows=fitted.rows),
        contamination=rows.contamination,
    )
    write_json(folder / "model.json", meta.model_dump(mode="json"))
    write_text(folder / "card.md", card(meta, spec))
    return thresholds, write_manifest(folder)


def _reference(folder: Path, rows: _Rows, scorer: GraphScorer, validation_scores: NDArray[np.float32]) -> None:
    """What traffic looked like, labelled or not: for drift and skew to be measured against."""
    names = scorer.names
    features, score = feature_reference(names, rows.period), score_reference(validation_scores)
    scores = scorer.only_scores(rows.period)
    _parquet(features, folder / "features.parquet")
    _parquet(score, folder / "score.parquet")
    _parquet(day_reference(features, score, rows.period_times, [*rows.period.T, scores]), folder / "days.parquet")
    _parquet(row_reference(names, rows.period_times, rows.period, scores), folder / "rows.parquet")


def _figures(fitted: Fitted) -> dict[str, float]:
    """Rows fitted on; of an autoencoder its epochs and the best validation loss, too."""
    figures: dict[str, float] = {"rows": fitted.rows}
    if fitted.history:
        best = min(epoch.validation_loss for epoch in fitted.history)
        figures |= {"epochs": len(fitted.history), "validation_loss": best}
    return figures


def _listener(run: StepRun) -> "Callable[[Epoch], None]":
    """Record each epoch; without someone who shows progress, say it as an event."""
    listener = EPOCH_LISTENER.get()

    def heard(epoch: "Epoch") -> None:
        run.metric(f"loss/member_{epoch.member}", epoch.loss, epoch.epoch)
        run.metric(f"validation_loss/member_{epoch.member}", epoch.validation_loss, epoch.epoch)
        if listener is not None:
            listener(epoch)
        else:
            log.info(
                "train.epoch",
                member=f"{epoch.member + 1}/{epoch.members}",
                epoch=f"{epoch.epoch}/{epoch.epochs}",
                loss=round(epoch.loss, 5),
                validation_loss=round(epoch.validation_loss, 5),
            )

    return heard


def _recorded(params: Params) -> dict[str, Any]:
    """The parameters that the artifact depends on."""
    sections = {
        "train": params.train,
        "threshold": params.threshold,
        "split": params.split,
        "features": params.features,
    }
    values = {name: section.model_dump(mode="json") for name, section in sections.items()}
    return {"seed": params.seed, "label_delay_days": params.label_delay_days, **values}


def _data_md5(dataset: Path) -> str:
    path = dataset / "fetch.json"
    try:
        return str(read_json(path, action=_FETCH)["md5"])
    except (OSError, KeyError, TypeError) as error:
        raise DataError(f"{path} does not name the data.", _FETCH) from error


def _parquet(table: pa.Table, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd")
