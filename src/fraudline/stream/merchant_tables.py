"""The merchant tables while the worker runs: a newer publication is taken between two batches.

The step ``profiles`` replaces the folder as a whole; ``profiles.json`` names its version. A publication that is under
way, damaged or gone is refused with a line, and the tables in use go on: merchants then are what they were.
"""

from pathlib import Path

from fraudline.core.turns import short_turns
from fraudline.features.profiles import ProfileTable, published_version
from fraudline.features.spec import FeatureSpec
from fraudline.stream.watch import Watch


class MerchantTables(Watch[ProfileTable]):
    """The tables in use, and a thread that looks for newer ones.

    Args:
        source: folder or URI of the publication.
        spec: of the model that uses them.
        interval_s: seconds between two looks.

    Raises:
        DataError: there is no publication to begin with.
    """

    def __init__(self, source: Path | str, spec: FeatureSpec, *, interval_s: float) -> None:
        super().__init__("profiles", interval_s)
        self._source, self._spec = source, spec
        self.current = ProfileTable.load(source, spec)
        self._version = self.current.version
        self._begin()

    def take(self) -> ProfileTable | None:
        """Newer tables, once, when there are some; they are :attr:`current` from then on. Never waits."""
        found = super().take()
        if found is not None:
            self.current = found
        return found

    def _look(self) -> ProfileTable | None:
        found = None
        if published_version(self._source) != self._version:
            with short_turns():
                found = ProfileTable.load(self._source, self._spec)
            self._version = found.version
        self._problem = ""
        return found
