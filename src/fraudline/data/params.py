"""Parameters of the data layer: generator, validation and time splits."""

from datetime import date

from pydantic import Field

from fraudline.core.settings import Settings


class KindMix(Settings):
    """Share of each fraud kind in the generated frauds; shares are relative, not required to sum to 1."""

    account_takeover: float = Field(default=0.22, ge=0, description="purchases by a stranger in a card's account")
    card_testing: float = Field(default=0.22, ge=0, description="tiny amounts within minutes, then often a large one")
    merchant_collusion: float = Field(default=0.18, ge=0, description="a merchant inflates or repeats its charges")
    impossible_travel: float = Field(default=0.18, ge=0, description="a copied card is used far away, too soon")
    micro_transactions: float = Field(default=0.20, ge=0, description="small charges at one or two shops, over days")


class GenerateParams(Settings):
    """What the generator makes. The same values give the same bytes.

    The population depends on ``seed``, ``cards`` and ``merchants`` only, and a day on the population and its own
    number, so that a longer set begins with the shorter one.
    """

    start: date = Field(default=date(2026, 1, 5), description="first day, UTC")
    days: int = Field(default=90, ge=1, le=3650, description="length of the set")
    cards: int = Field(default=5000, ge=50, le=90_000, description="cards in the population")
    merchants: int = Field(default=1500, ge=120, le=90_000, description="merchants in the population")
    seed: int = Field(default=7, ge=0, description="seed of everything that is drawn")
    currency: str = Field(default="EUR", pattern="^[A-Z]{3}$", description="of all amounts, ISO 4217")
    daily_rate: float = Field(default=1.0, gt=0, description="mean transactions per card and day")
    fraud_rate: float = Field(default=0.008, ge=0, le=0.05, description="share of fraudulent transactions")
    mix: KindMix = KindMix()


class ValidateParams(Settings):
    """Bounds of the expectation suite; the comparisons need a previous version of the data set."""

    previous: str = Field(
        default="", description="Git revision whose data.dvc names the previous version; empty: nothing to compare with"
    )
    currencies: tuple[str, ...] = Field(default=("EUR",), description="those that transactions may have")
    max_amount_minor: int = Field(
        default=5_000_000,
        gt=0,
        description="largest credible amount, minor units of the specification's base currency",
    )
    fraud_rate_max: float = Field(default=0.05, gt=0, le=1, description="largest share of known frauds")
    max_null_device: float = Field(default=0.9, ge=0, le=1, description="largest share of online rows without device")
    max_label_delay_days: float = Field(default=60, gt=0, description="longest delay of a label")
    volume_change_max: float = Field(default=0.5, gt=0, description="relative change of daily volume before a warning")
    label_rate_change_max: float = Field(default=0.5, gt=0, description="relative change of the fraud rate")
    psi_max: float = Field(default=0.2, gt=0, description="population stability index before a warning")
    day_volume_min: float = Field(default=0.3, ge=0, le=1, description="a day's volume as a share of the median day")


class SplitParams(Settings):
    """Lengths of the time splits in days, counted back from the end of the data set."""

    warmup_days: int = Field(default=21, ge=0, description="first days, in which windows fill and nothing is learned")
    validation_days: int = Field(default=10, ge=1, description="days that end training early and choose the threshold")
    test_days: int = Field(default=14, ge=1, description="last days, on which the figures are reported")
    min_train_days: int = Field(default=7, ge=1, description="with fewer days left for training the data is refused")
    train_days: int = Field(
        default=0, ge=0, description="days of training at most, a rolling window; 0 for all that the data has"
    )
