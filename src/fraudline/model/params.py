"""Parameters of training."""

from typing import Literal, get_args

from pydantic import Field

from fraudline.core.settings import Settings

Autoencoder = Literal["dense", "denoising", "variational", "sequence"]
Supervised = Literal["xgboost", "lightgbm", "catboost", "random_forest", "hybrid"]
AUTOENCODERS: tuple[str, ...] = get_args(Autoencoder)
"""Kinds that learn known normals only, and no fraud."""


class ForestParams(Settings):
    """How a supervised model is grown."""

    trees: int = Field(default=200, ge=1, le=5_000, description="boosting rounds, or trees of the forest")
    depth: int = Field(default=5, ge=1, le=16, description="of a booster's trees; a forest's go twice as deep")
    learning_rate: float = Field(default=0.08, gt=0, le=1, description="of a booster")
    max_rows: int = Field(default=120_000, ge=100, description="rows to learn from; normals are sampled down")
    smote_share: float = Field(
        default=0.0, ge=0, le=1, description="frauds a normal that SMOTE fills up to; 0 leaves the rows as they are"
    )


class TrimParams(Settings):
    """How frauds that no one reported are looked for among the known normals, and when they are left out."""

    rounds: int = Field(default=3, ge=0, le=10, description="at most; 0 neither looks nor trims")
    chance: float = Field(default=0.8, gt=0, lt=1, description="how much a row must look like a known fraud")
    from_share: float = Field(default=0.01, ge=0, le=1, description="estimated share from which on rows are left out")
    max_share: float = Field(default=0.15, gt=0, le=0.5, description="rows that are left out at most")
    min_frauds: int = Field(default=100, ge=10, description="known frauds that are needed to tell")


class TrainParams(Settings):
    """How the model is fitted. Every default is general: nothing here knows a data set."""

    kind: Autoencoder | Supervised = Field(default="dense", description="autoencoders need no fraud; the others do")
    bottlenecks: tuple[int, ...] = Field(default=(3, 4, 5), min_length=1, description="one network each")
    hidden: tuple[int, ...] = Field(default=(64, 32), min_length=1, description="units from the outside in, mirrored")
    learning_rate: float = Field(default=2e-3, gt=0, description="of the networks' optimizer, Adam")
    batch_size: int = Field(default=512, ge=1, description="rows a step of the networks' training")
    epochs: int = Field(default=10, ge=1, description="at most; early stopping ends a network sooner")
    patience: int = Field(default=3, ge=1, description="epochs without a better validation loss before a network stops")
    max_rows: int = Field(default=150_000, ge=1, description="known normals to fit on; more are sampled down")
    scaling: Literal["robust", "standard"] = Field(default="standard", description="mean and sd, or median and IQR")
    clip: float = Field(default=50.0, gt=0, description="scaled inputs are clipped to plus or minus this")
    log_inputs: bool = Field(default=True, description="take log(1 + x) where the feature spec hints log1p")
    ridge: float = Field(default=1e-2, gt=0, description="added to the residual covariance, share of its mean variance")
    surprise_bottlenecks: tuple[int, ...] = Field(
        default=(1, 2), description="one network each on the rarities instead of the features; may be empty"
    )
    autoencoder_weight: float = Field(default=0.3, ge=0, description="score for each decade of rarity of the residuals")
    surprise_weight: float = Field(default=0.05, ge=0, description="the same for the networks on the rarities")
    joints: tuple[str, ...] | None = Field(default=None, description="pairs to use, by name; all of the spec when null")
    tail_weight: float = Field(default=1.0, ge=0, description="score for each decade of rarity of tails and pairs")
    noise: float = Field(default=0.2, ge=0, description="denoising: sd of the noise on scaled inputs while training")
    kl_weight: float = Field(default=1e-3, ge=0, description="variational: weight of the Kullback-Leibler term")
    forest: ForestParams = ForestParams()
    trim: TrimParams = TrimParams()
    tail_features: tuple[str, ...] | None = Field(default=None, description="instead of the spec's tail: upper")
