"""All parameters: ``params.yaml``, one section a layer, each declared where it is used."""

from typing import Self

from pydantic import Field

from fraudline.core.lineage import LineageParams
from fraudline.core.settings import Settings
from fraudline.data.params import GenerateParams, SplitParams, ValidateParams
from fraudline.features.params import FeatureParams
from fraudline.model.evaluation_params import EvaluateParams
from fraudline.model.params import TrainParams
from fraudline.model.thresholds import ThresholdParams
from fraudline.monitor.params import MonitorParams
from fraudline.monitor.renewal import RenewParams
from fraudline.ops.cost import CostParams
from fraudline.ops.gate import GateParams
from fraudline.ops.gitops.params import RolloutParams
from fraudline.ops.params import RegistryParams
from fraudline.stream.params import StreamParams


class Params(Settings):
    """What ``params.yaml`` holds; every field has a default that works on the default data set."""

    seed: int = Field(default=20260105, ge=0, description="seed of everything random in training and evaluation")
    label_delay_days: int = Field(default=7, ge=0, description="days after which a transaction without label is normal")
    champion: str = Field(default="", description="immutable URI of the deployed artifact; changed by promotion only")
    data: GenerateParams = GenerateParams()
    validation: ValidateParams = ValidateParams()
    features: FeatureParams = FeatureParams()
    split: SplitParams = SplitParams()
    train: TrainParams = TrainParams()
    threshold: ThresholdParams = ThresholdParams()
    evaluate: EvaluateParams = EvaluateParams()
    gate: GateParams = GateParams()
    registry: RegistryParams = RegistryParams()
    cost: CostParams = CostParams()
    rollout: RolloutParams = RolloutParams()
    stream: StreamParams = StreamParams()
    monitor: MonitorParams = MonitorParams()
    lineage: LineageParams = LineageParams()
    renew: RenewParams = RenewParams()

    def with_bootstrap(self, bootstrap: str | None) -> Self:
        """The same with another broker, where one is named."""
        if not bootstrap:
            return self
        return self.model_copy(update={"stream": self.stream.model_copy(update={"bootstrap": bootstrap})})
