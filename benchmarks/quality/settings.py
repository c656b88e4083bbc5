"""The product's settings on this data set: those of :mod:`benchmarks.handbook`."""

from benchmarks.handbook import BOTTLENECKS, WITHOUT
from fraudline.features.params import FeatureParams
from fraudline.model.params import TrainParams
from fraudline.steps.params import Params

SEEDS = (1, 2, 3)


def product_params() -> Params:
    """Default parameters, without the features that the set cannot carry."""
    return Params(features=FeatureParams(without=WITHOUT), train=TrainParams(bottlenecks=BOTTLENECKS))
