"""What a ``.dvc`` file names, and whether a folder is that, byte for byte."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from fraudline.core.digest import files_under, md5_file
from fraudline.core.documents import parse_yaml
from fraudline.core.errors import DataError, UsageError

_NAMED = 5


class Tracked(NamedTuple):
    """What a ``.dvc`` file says of its one output: md5 (``….dir``), number of files, path beside the ``.dvc`` file."""

    md5: str
    files: int
    path: str


def parse_dvc_file(text: str, name: str) -> Tracked:
    """The one directory output of a ``.dvc`` file.

    Raises:
        UsageError: it is not a ``.dvc`` file that tracks one directory.
    """
    try:
        content = parse_yaml(text, name, action="Make it with: dvc add data")
        (out,) = content["outs"]
        base = Path(content.get("wdir", "."))
        md5, path = out["md5"], out["path"]
        if isinstance(md5, list | dict) or isinstance(path, list | dict):
            raise TypeError  # aliases that name one another: as a text it would fill the memory
        tracked = Tracked(str(md5), int(out.get("nfiles", 0)), (base / str(path)).as_posix())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{name} is not a .dvc file with one output.", "Make it with: dvc add data") from error
    if not tracked.md5.endswith(".dir"):
        raise UsageError(f"{name} tracks a single file.", "Track the data set's folder: dvc add data")
    return tracked


def read_dvc_file(data_dvc: Path) -> str:
    """The text of a ``.dvc`` file of the workspace.

    Raises:
        UsageError: there is no such file.
    """
    try:
        return data_dvc.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{data_dvc} cannot be read: {error.strerror}.", "Name a .dvc file.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{data_dvc} is no text in UTF-8.", "Name a .dvc file.") from error


def directory_md5(hashes: Mapping[str, str]) -> str:
    """DVC's md5 of a directory: over the JSON listing of its files (relative path to md5), with suffix ``.dir``."""
    listing = [{"md5": hashes[name], "relpath": name} for name in sorted(hashes)]
    return hashlib.md5(json.dumps(listing, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"


def verify(folder: Path, tracked: Tracked, listing: Mapping[str, str] | None) -> dict[str, str]:
    """Hash every file of ``folder`` and compare with what is tracked.

    Args:
        folder: the content.
        tracked: the md5 it must have.
        listing: the md5 of each file where it is known, so that an error can name files.

    Returns:
        Relative path to md5.

    Raises:
        DataError: the content differs; the files that differ are named.
    """
    hashes = {name: md5_file(folder / name) for name in files_under(folder)}
    found = directory_md5(hashes)
    if found == tracked.md5:
        return hashes
    if listing is None:
        detail = f"{len(hashes)} files found, {tracked.files} tracked"
    else:
        changed = sorted(name for name in {*hashes, *listing} if hashes.get(name) != listing.get(name))
        more = f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
        detail = ", ".join(_difference(name, hashes, listing) for name in changed[:_NAMED]) + more
    raise DataError(
        f"The data has md5 {found}, but {tracked.md5} is tracked: {detail}.",
        "Restore it (dvc checkout --force) or track the change (dvc add data).",
    )


def _difference(name: str, hashes: Mapping[str, str], listing: Mapping[str, str]) -> str:
    if name not in hashes:
        return f"{name} is missing"
    return f"{name} differs" if name in listing else f"{name} is not tracked"
