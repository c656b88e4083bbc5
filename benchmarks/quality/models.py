"""The registry: everything that is measured, by name, in the order of the report."""

from benchmarks.quality import autoencoders, detectors, supervised
from benchmarks.quality.family import Family


def families() -> dict[str, Family]:
    """All families by name."""
    found = [*autoencoders.families(), *supervised.families(), *detectors.families()]
    return {family.name: family for family in found}
