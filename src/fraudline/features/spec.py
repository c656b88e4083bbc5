"""The feature specification: which features there are, what they mean, and how values are cleaned and imputed.

    spec = load_spec()
    spec.names      # ('amount', 'amount_minus_card_mean', ...): the columns of every feature matrix, in order
    spec.version    # twelve hex digits over the whole content

The packaged ``spec.yaml`` is the default. The specification travels inside a model's ``model.json``, so that a worker
computes what the model was trained on. Stable: fields are only added, and each change changes the version.
"""

from collections.abc import Iterable
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import yaml
from pydantic import Field, model_validator

from fraudline.core.errors import UsageError
from fraudline.core.settings import Settings
from fraudline.features.lags import lagged, parsed
from fraudline.features.versioned import Versioned, short_digest

KERNEL_FEATURES = (
    "amount",
    "amount_minus_card_mean",
    "amount_ratio_card_mean",
    "amount_z",
    "card_heat_7d",
    "card_count_1h",
    "card_count_1d",
    "card_count_7d",
    "card_count_30d",
    "card_amount_1h",
    "card_amount_1d",
    "card_amount_7d",
    "card_amount_30d",
    "card_mean_amount_30d",
    "card_mean_ratio_7d_30d",
    "seconds_since_last",
    "distance_from_last",
    "speed_from_last",
    "distance_from_home",
    "no_position",
    "new_device",
    "new_merchant",
    "new_country",
    "merchants_1d",
    "small_count_1h",
    "category_rarity",
    "hour_deviation",
    "weekend",
    "night",
    "merchant_count_7d",
    "merchant_count_30d",
    "amount_ratio_merchant_mean",
    "merchant_risk_1d",
    "merchant_risk_7d",
    "merchant_risk_30d",
    "merchant_age",
    "merchant_fraud_weight_7d",
    "merchant_streak_weight",
    "merchant_streak_age",
    "merchant_outbreak_weight",
    "merchant_outbreak_age",
)
"""What the kernel computes, in the order in which it writes; a specification names all or some, in its own order."""


class Feature(Settings):
    """One feature.

    ``tail`` is ``upper`` when a large value is suspicious by itself; ``transform`` is a hint to the model: the kernel
    always gives raw values.
    """

    name: str
    meaning: str
    unit: str
    window: str
    source: Literal["transaction", "card", "merchant"]
    tail: Literal["upper", "none"] = "none"
    transform: Literal["none", "log1p"] = "none"

    def lag(self, rows: int) -> "Feature":
        """What this feature was, so many transactions of the card ago."""
        ago = "the transaction before" if rows == 1 else f"{rows} transactions ago"
        changes = {"name": lagged(self.name, rows), "meaning": f"Of {ago}: {self.meaning}", "tail": "none"}
        return self.model_copy(update={**changes, "window": f"last {rows}", "source": "card"})


class Joint(Settings):
    """Two features whose rarity counts together: how few known normals are at least as far out in both at once.

    ``tails`` says in which direction each is suspicious. Rows whose first feature is not above ``above`` are not rare.
    """

    name: str
    features: tuple[str, str]
    tails: tuple[Literal["upper"], Literal["upper", "lower"]]
    above: float


class Currency(Settings):
    """``exponent``: decimal digits of the minor unit (ISO 4217); ``rate``: base units for one unit."""

    exponent: int = Field(ge=0, le=8)
    rate: float = Field(gt=0)

    @property
    def factor(self) -> float:
        """Base units for one minor unit."""
        return float(self.rate / 10**self.exponent)


class Parameters(Settings):
    """The numbers in the formulas; ``spec.yaml`` says what each one is."""

    amount_prior_weight: float = Field(gt=0)
    variance_prior_weight: float = Field(gt=0)
    habit_memory: float = Field(ge=1)
    habit_clip_sd: float = Field(gt=0)
    z_limit: float = Field(gt=0)
    heat_threshold: float
    small_ratio: float = Field(ge=0)
    gap_limit_seconds: float = Field(gt=0)
    home_memory: float = Field(ge=1)
    hour_memory: float = Field(ge=1)
    speed_floor_seconds: float = Field(gt=0)
    speed_limit_kmh: float = Field(gt=0)
    night_end_hour: int = Field(ge=0, le=23)
    amount_limit: float = Field(gt=0, le=1e7)
    risk_prior_weight: float = Field(gt=0)
    default_mean_amount: float = Field(gt=0)
    default_amount_cv2: float = Field(gt=0)
    default_risk: float = Field(ge=0, le=1)
    fraud_weight_slope: float = Field(default=2.0, gt=0)
    fraud_weight_centre: float = Field(default=3.0)
    streak_memory_days: int = Field(default=60, ge=1)
    streak_margin_days: int = Field(default=10, ge=0)
    outbreak_clean_limit: int = Field(default=2, ge=0)
    profile_hours: Literal[1, 2, 3, 4, 6, 8, 12, 24] = 24


class FeatureSpec(Versioned):
    """All features in order, with the rules and numbers they are computed by."""

    what: ClassVar[str] = "feature specification"

    format: Literal[1]
    base_currency: str
    parameters: Parameters
    cleaning: dict[str, str]
    imputation: dict[str, str]
    features: tuple[Feature, ...] = Field(min_length=1)
    joints: tuple[Joint, ...] = ()
    currencies: dict[str, Currency]

    @model_validator(mode="after")
    def _known(self) -> Self:
        names = [feature.name for feature in self.features]
        unknown = sorted({parsed(name)[0] for name in names} - set(KERNEL_FEATURES))
        if unknown:
            raise ValueError(f"features that the kernel does not compute: {', '.join(unknown)}")
        if len(set(names)) != len(names):
            raise ValueError("a feature is named twice")
        strange = sorted({name for joint in self.joints for name in joint.features} - set(names))
        if strange:
            raise ValueError(f"joints name features that the specification does not have: {', '.join(strange)}")
        if self.base_currency not in self.currencies:
            raise ValueError(f"the base currency {self.base_currency} has no entry under currencies")
        return self

    def content(self) -> dict[str, Any]:
        """What the version is made of.

        What a later release added and this specification leaves at its default is no part of it, so that a version once
        given stays.
        """
        values = super().content()
        added = {name: field.default for name, field in Parameters.model_fields.items() if not field.is_required()}
        values["parameters"] = {k: v for k, v in values["parameters"].items() if k not in added or v != added[k]}
        if not values["joints"]:
            del values["joints"]
        return values

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Feature names in column order."""
        return tuple(feature.name for feature in self.features)

    @cached_property
    def minor_rates(self) -> dict[str, float]:
        """By currency, how many minor units of the base currency one of its minor units is."""
        base = self.currencies[self.base_currency].factor
        return {code: currency.factor / base for code, currency in self.currencies.items()}

    @cached_property
    def columns(self) -> tuple[int, ...]:
        """For each feature its position among the kernel's features, and behind them the history's."""
        first, (bases, _) = len(KERNEL_FEATURES), self.history
        places = []
        for base, lag in map(parsed, self.names):
            kernel = KERNEL_FEATURES.index(base)
            places.append(first + (lag - 1) * len(bases) + bases.index(kernel) if lag else kernel)
        return tuple(places)

    @cached_property
    def history(self) -> tuple[tuple[int, ...], int]:
        """Which kernel features a card's last transactions are remembered by, and how many of these."""
        lags = [parsed(name) for name in self.names]
        bases = dict.fromkeys(KERNEL_FEATURES.index(base) for base, lag in lags if lag)
        return tuple(bases), max((lag for _, lag in lags), default=0)

    @cached_property
    def rules(self) -> str:
        """Twelve hex digits over what values are computed by: all else is words, hints and a choice of columns."""
        content = self.content()
        return short_digest({name: content[name] for name in ("base_currency", "currencies", "parameters")})

    def without(self, names: Iterable[str]) -> "FeatureSpec":
        """The same specification without the named features.

        Raises:
            UsageError: a name is not one of this specification.
        """
        dropped = set(names)
        unknown = sorted(dropped - set(self.names))
        if unknown:
            raise UsageError(f"Features to leave out are unknown: {', '.join(unknown)}.", f"Choose from {self.names}.")
        kept = tuple(feature for feature in self.features if feature.name not in dropped)
        joints = tuple(joint for joint in self.joints if not dropped.intersection(joint.features))
        return FeatureSpec.parse({**self.model_dump(), "features": kept, "joints": joints}, FeatureSpec.what)

    def informed(self, silent: Iterable[str]) -> "FeatureSpec":
        """The same specification without the named kernel features and what it remembers of them, where it has any."""
        dropped = set(silent)
        return self.without(name for name in self.names if parsed(name)[0] in dropped)

    def with_history(self, names: Iterable[str], rows: int) -> "FeatureSpec":
        """The same specification with what ``names`` were in the card's last ``rows`` transactions, the latest first.

        Raises:
            UsageError: a name is not one of this specification.
        """
        own = {feature.name: feature for feature in self.features}
        wanted = list(names)
        unknown = sorted(set(wanted) - set(own))
        if unknown:
            raise UsageError(f"Features to remember are unknown: {', '.join(unknown)}.", f"Choose from {self.names}.")
        past = [own[name].lag(lag) for lag in range(1, rows + 1) for name in wanted]
        return FeatureSpec.parse({**self.model_dump(), "features": (*self.features, *past)}, FeatureSpec.what)


@lru_cache(maxsize=1)
def _packaged() -> FeatureSpec:
    text = files("fraudline.features").joinpath("spec.yaml").read_text(encoding="utf-8")
    return FeatureSpec.parse(yaml.safe_load(text), "spec.yaml")


def load_spec(path: Path | None = None) -> FeatureSpec:
    """The packaged specification, or that of a YAML file.

    Raises:
        UsageError: the file is missing, not YAML, or names a feature that the kernel does not compute.
    """
    return _packaged() if path is None else FeatureSpec.load(path)
