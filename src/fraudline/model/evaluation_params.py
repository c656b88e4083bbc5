"""Parameters of the evaluation."""

from typing import Literal

from pydantic import Field

from fraudline.core.settings import Settings


class CostParams(Settings):
    """What an alert costs and what a caught fraud saves."""

    review_cost_minor: int = Field(default=500, ge=0, description="cost of one alert, minor units")
    recovered_share: float = Field(default=0.8, ge=0, le=1, description="share of a caught fraud's amount not lost")


class BootstrapParams(Settings):
    """How the intervals are drawn."""

    resamples: int = Field(default=200, ge=20, le=10_000, description="draws an interval; more are slower and steadier")
    confidence: float = Field(default=0.9, gt=0, lt=1, description="0.9 gives the 5-95 % interval")
    unit: Literal["card", "transaction"] = Field(
        default="card", description="what is drawn; single transactions give intervals that are too narrow"
    )


class EvaluateParams(Settings):
    """What is measured on the test weeks."""

    alert_rates: tuple[float, ...] = Field(
        default=(0.001, 0.005, 0.01), min_length=1, description="shares of alerts at which recall is reported"
    )
    card_precision_k: int = Field(default=100, ge=1, description="cards investigated a day")
    baselines: tuple[
        Literal["isolation_forest", "pca", "mahalanobis", "gaussian_mixture", "ecod", "copod", "knn"], ...
    ] = Field(
        default=("isolation_forest", "pca", "mahalanobis"),
        description="detectors that are measured on the same rows; may be empty",
    )
    baseline_rows: int = Field(default=20_000, ge=100, description="training normals that a baseline sees at most")
    cost: CostParams = CostParams()
    bootstrap: BootstrapParams = BootstrapParams()
