"""The artifact store: a folder whose entries are named by their digest and never change."""

import stat
from pathlib import Path

from fraudline.core.errors import DigestMismatch
from fraudline.core.files import atomic_folder
from fraudline.model.artifact import MANIFEST, verify

_READ_ONLY = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH


def put(source: Path, store: Path) -> Path:
    """Copy a verified artifact to ``store/<digest>``, read-only; an entry that is there stays as it is.

    An entry equals the source when both verify under one digest; SavedModel files, which no two builds write alike,
    are then those of the first.

    Returns:
        The entry's folder.

    Raises:
        DigestMismatch: the source does not verify, or the entry that is there is damaged.
        ArtifactError: the source is no artifact.
    """
    digest, content = verify(source)
    entry = store / digest
    if entry.exists():
        try:
            verify(entry, digest)
        except DigestMismatch as error:
            raise DigestMismatch(
                f"The stored artifact {entry} was changed: {error.problem}", "Delete it, then run the step again."
            ) from error
        return entry
    with atomic_folder(entry) as folder:
        for path in [*content, *_unnamed(source), MANIFEST]:
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.get(path) or (source / path).read_bytes())
            target.chmod(_READ_ONLY)
        verify(folder, digest)  # what was copied, not what was looked at before
    return entry


def provenance_file(entry: Path) -> Path:
    """Where the provenance of a stored artifact lies: beside it, outside its digest."""
    return entry.with_name(f"{entry.name}.provenance.json")


def _unnamed(source: Path) -> list[str]:
    folder = source / "savedmodel"
    return sorted(p.relative_to(source).as_posix() for p in folder.rglob("*") if p.is_file())
