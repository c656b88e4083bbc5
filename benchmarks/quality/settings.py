"""The product's settings on this data set: those of :mod:`benchmarks.handbook`, and the sets of features."""

from benchmarks.handbook import TRAIN, WITHOUT
from fraudline.features.params import FeatureParams
from fraudline.steps.params import Params

SEEDS = (1, 2, 3)

OURS, HISTORY, BOOK = "ours", "history", "book"
PRODUCT = (OURS, HISTORY)
"""Sets of features that the product computes: the specification's, and these with the card's last transactions."""

SETS = {OURS: "our features", HISTORY: "our features with history", BOOK: "the book's features"}

REMEMBERED = ("amount", "amount_z", "merchant_risk_7d")
REMEMBERED_ROWS = 5


def product_params(columns: str = OURS) -> Params:
    """Default parameters, without the features that the set cannot carry; with history where ``columns`` has it."""
    history = {"history": REMEMBERED, "history_rows": REMEMBERED_ROWS} if columns == HISTORY else {}
    features = FeatureParams.parse({"without": WITHOUT, **history}, "features")
    return Params(features=features, train=TRAIN)
