"""Parameters of the features section of ``params.yaml``."""

from pathlib import Path

from pydantic import Field

from fraudline.core.settings import Settings
from fraudline.features.spec import FeatureSpec, load_spec


class FeatureParams(Settings):
    """Which specification is used.

    ``spec`` is the path of a YAML file, empty for the packaged one; ``without`` names features to leave out.
    """

    spec: str = ""
    without: tuple[str, ...] = ()
    history: tuple[str, ...] = Field(default=(), description="features remembered of a card's last transactions")
    history_rows: int = Field(default=0, ge=0, le=32, description="how many; a sequence model reads them")

    def resolve(self) -> FeatureSpec:
        """The specification that these parameters name.

        Raises:
            UsageError: the file or a name in ``without`` or ``history`` is unknown.
        """
        spec = load_spec(Path(self.spec) if self.spec else None)
        spec = spec.without(self.without) if self.without else spec
        return spec.with_history(self.history, self.history_rows) if self.history and self.history_rows else spec
