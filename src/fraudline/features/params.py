"""Parameters of the features section of ``params.yaml``."""

from pathlib import Path

from pydantic import Field

from fraudline.core.documents import parse_yaml
from fraudline.core.errors import UsageError
from fraudline.core.settings import Settings
from fraudline.features.spec import FeatureSpec, load_spec
from fraudline.features.table import TableSpec

_NAME_ONE = "Name a specification in features.spec."


class FeatureParams(Settings):
    """Which features a model has."""

    spec: str = Field(default="", description="path of a specification in YAML; empty for the packaged one")
    without: tuple[str, ...] = Field(default=(), description="features of the specification to leave out, by name")
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

    def resolve_model(self) -> FeatureSpec | TableSpec:
        """What a model's features are: of cards, or of the table that a file with ``kind: table`` specifies.

        Raises:
            UsageError: the file or a name in ``without`` is unknown.
        """
        if not self.spec or not _is_table(Path(self.spec)):
            return self.resolve()
        spec = TableSpec.load(Path(self.spec))
        return spec.without(self.without) if self.without else spec

    def rates(self) -> FeatureSpec:
        """The specification whose base currency and rates amounts are summed by: for a table the packaged one.

        Raises:
            UsageError: the file or a name in ``without`` is unknown.
        """
        spec = self.resolve_model()
        return spec if isinstance(spec, FeatureSpec) else load_spec()


def _is_table(path: Path) -> bool:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error}.", _NAME_ONE) from error
    values = parse_yaml(content, str(path), action=_NAME_ONE)
    return isinstance(values, dict) and values.get("kind") == "table"
