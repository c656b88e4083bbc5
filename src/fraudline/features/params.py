"""Parameters of the features section of ``params.yaml``."""

from pathlib import Path

from fraudline.core.settings import Settings
from fraudline.features.spec import FeatureSpec, load_spec


class FeatureParams(Settings):
    """Which specification is used.

    ``spec`` is the path of a YAML file, empty for the packaged one; ``without`` names features to leave out.
    """

    spec: str = ""
    without: tuple[str, ...] = ()

    def resolve(self) -> FeatureSpec:
        """The specification that these parameters name.

        Raises:
            UsageError: the file or a name in ``without`` is unknown.
        """
        spec = load_spec(Path(self.spec) if self.spec else None)
        return spec.without(self.without) if self.without else spec
