"""Step ``fetch``: a verified copy of the versioned data set.

The data set is what a ``.dvc`` file names by its md5. It is taken from the workspace beside that file, pulled when it
is missing, or, with a revision or another repository, fetched from there; every file is hashed before it is used.
"""

import configparser
import logging
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fraudline.core.errors import DataError, UnavailableError, UsageError, without_passwords
from fraudline.core.files import atomic_folder, read_json, write_json
from fraudline.core.log import get_logger
from fraudline.data.store import EXTRA
from fraudline.ops.provenance import git_environment
from fraudline.steps.dvc_files import Tracked, parse_dvc_file, read_dvc_file, verify
from fraudline.steps.params import Params

log = get_logger(__name__)

FETCHED = "fetch.json"
"""What was fetched: md5, revision, number of files, and the repository and ``.dvc`` file that it came from."""

_CHECK = "Check the remote (dvc remote list) and your credentials for it."
_PATIENCE = " AWS_MAX_ATTEMPTS=1 and `dvc remote modify NAME read_timeout 5` shorten the wait for a store that hangs."
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def fetch(
    *, data_dvc: Path, dataset: Path, params: Params, repo: str = ".", revision: str = "", md5: str = ""
) -> dict[str, Any]:
    """Copy the data set that ``data_dvc`` names to ``dataset``, every byte verified.

    Args:
        data_dvc: the ``.dvc`` file; inside ``repo`` when a revision or another repository is given.
        dataset: where the copy is put, atomically.
        params: not used; every step takes them.
        repo: path or address of the Git repository.
        revision: Git revision; empty means the workspace.
        md5: the md5 that is expected; empty means what the ``.dvc`` file says.

    Returns:
        ``md5``, ``files`` and ``bytes``.

    Raises:
        DataError: the content is not what was named.
        UsageError: the ``.dvc`` file cannot be read.
        UnavailableError: the data cannot be fetched from the remote.
    """
    if revision.startswith("-"):
        raise UsageError(f"{revision} is no Git revision.", "Give a commit, a tag or a branch.")
    origin = {"repo": without_passwords(repo), "data_dvc": data_dvc.as_posix()}
    if repo and not Path(repo).exists():
        with _clone(repo, revision) as folder:
            return _fetch(folder / data_dvc, dataset, stated=revision, md5=md5, origin=origin)
    place = "" if repo == "." else repo
    return _fetch(data_dvc, dataset, repo=place, revision=revision, stated=revision, md5=md5, origin=origin)


def _fetch(
    data_dvc: Path,
    dataset: Path,
    *,
    repo: str = "",
    revision: str = "",
    stated: str,
    md5: str,
    origin: Mapping[str, str],
) -> dict[str, Any]:
    elsewhere = bool(revision or repo)
    text = _read_elsewhere(data_dvc, repo, revision) if elsewhere else read_dvc_file(data_dvc)
    tracked = parse_dvc_file(text, str(data_dvc))
    if md5 and md5.removesuffix(".dir") != tracked.md5.removesuffix(".dir"):
        raise DataError(
            f"{data_dvc} names data {tracked.md5}, but {md5} was asked for.",
            "Give the md5 of this revision's data, or the revision that has this md5.",
        )
    with atomic_folder(dataset, sometimes=(EXTRA,)) as temporary:
        content = temporary / "content"
        if elsewhere:
            _get(data_dvc.parent / tracked.path, content, repo or ".", revision)
        else:
            shutil.copytree(_workspace(data_dvc, tracked), content, copy_function=shutil.copyfile)
        hashes = verify(content, tracked, _listing(data_dvc, tracked))
        size = sum((content / name).stat().st_size for name in hashes)
        for entry in sorted(content.iterdir()):
            entry.rename(temporary / entry.name)
        content.rmdir()
        write_json(temporary / FETCHED, {"md5": tracked.md5, "revision": stated, "files": len(hashes), **origin})
    log.info("fetch.done", md5=tracked.md5, files=len(hashes), bytes=size)
    return {"md5": tracked.md5, "files": len(hashes), "bytes": size}


def _workspace(data_dvc: Path, tracked: Tracked) -> Path:
    folder = data_dvc.parent / tracked.path
    if not folder.is_dir():
        log.info("fetch.pull", target=str(data_dvc))
        _pull(data_dvc)
    if not folder.is_dir():
        raise UnavailableError(f"{folder} is missing and could not be pulled.", f"Run: dvc pull {data_dvc}")
    return folder


def _pull(data_dvc: Path) -> None:
    from dvc.exceptions import CheckoutError
    from dvc.repo import Repo

    root = _repository(data_dvc) or data_dvc.parent
    with _causes() as causes:
        try:
            with Repo(str(root)) as repo:
                repo.pull(targets=[str(data_dvc.resolve())])
        except CheckoutError as error:  # nothing failed: the store says that it has no such files
            store = _remote(root)
            raise UnavailableError(
                f"{data_dvc} cannot be pulled from {store}, which lacks some of its files or is not there.",
                "Push them (dvc push), or correct the store's address (dvc remote list).",
            ) from error
        except Exception as error:  # dvc's own, or whatever the client of that kind of remote raises
            store, why = _remote(root), f"{_line(error)}{_named(causes)}"
            raise UnavailableError(f"{data_dvc} cannot be pulled from {store}: {why}.", _check(store)) from error


@contextmanager
def _causes() -> Iterator[list[BaseException]]:
    """The errors that dvc only logs while it counts what failed."""
    found: list[BaseException] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info and record.exc_info[1] is not None:
                found.append(record.exc_info[1])

    handler, loggers = Kept(), [logging.getLogger(name) for name in ("dvc", "dvc_data")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield found
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


def _named(causes: list[BaseException]) -> str:
    """The first cause, in brackets."""
    return f" ({type(causes[0]).__name__}: {_line(causes[0])})" if causes else ""


def _line(error: BaseException) -> str:
    return " ".join(_COLOUR.sub("", str(error)).split()).rstrip(".")


def _check(store: str) -> str:
    """What to do; the clients of S3 alone try a hundred times."""
    return _CHECK + (_PATIENCE if store.startswith("s3://") else "")


def _remote(root: Path) -> str:
    """The default remote of a repository, by its address."""
    config = _config(root)
    name = config.get("core", "remote", fallback="")
    section = f"'remote \"{name}\"'"
    if not config.has_option(section, "url"):
        return "a remote that no configuration names"
    endpoint = config.get(section, "endpointurl", fallback="")
    return config.get(section, "url") + (f" at {endpoint}" if endpoint else "")


@contextmanager
def _clone(repo: str, revision: str) -> Iterator[Path]:
    """A checkout of another repository's revision: a remote inside a repository is found only in a working tree."""
    with tempfile.TemporaryDirectory(prefix="fraudline-fetch-") as folder:
        for command in (
            ["git", "clone", "--quiet", "--no-checkout", "--", repo, folder],
            ["git", "-C", folder, "checkout", "--quiet", "--detach", revision or "HEAD", "--"],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=git_environment())
            if done.returncode:
                raise UnavailableError(
                    f"Repository {repo} at {revision or 'HEAD'} cannot be cloned: {done.stderr.strip()[-300:]}.",
                    "Name a repository and a revision that git can reach.",
                )
        yield Path(folder)


def _read_elsewhere(data_dvc: Path, repo: str, revision: str) -> str:
    import dvc.api
    from dvc.exceptions import DvcException
    from scmrepo.exceptions import SCMError

    try:
        text: str = dvc.api.read(data_dvc.as_posix(), repo=repo or ".", rev=revision or None)
    except (DvcException, SCMError, OSError) as error:
        raise UsageError(
            f"{data_dvc} of {repo or '.'} at {revision or 'HEAD'} cannot be read: {error}.",
            "Name a repository, a revision and the path of its .dvc file.",
        ) from error
    return text


def _get(path: Path, out: Path, repo: str, revision: str) -> None:
    from dvc.repo import Repo

    try:
        Repo.get(str(Path(repo).resolve()), path.as_posix(), str(out), revision or None)
    except Exception as error:  # dvc's own, or whatever the client of that kind of remote raises
        store = _remote(Path(repo))
        where = f"{path} of {repo} at {revision or 'HEAD'} cannot be fetched from {store}"
        raise UnavailableError(f"{where}: {_line(error)}.", _check(store)) from error


def _repository(data_dvc: Path) -> Path | None:
    for folder in data_dvc.resolve().parents:
        if os.path.isdir(folder / ".dvc"):  # unlike Path.is_dir it says no where it may not look
            return folder
    return None


def _config(root: Path) -> configparser.ConfigParser:
    """What a repository says of its remotes."""
    config = configparser.ConfigParser(strict=False, interpolation=None)
    config.read([root / ".dvc" / "config", root / ".dvc" / "config.local"], encoding="utf-8")
    return config


def _listing(data_dvc: Path, tracked: Tracked) -> dict[str, str] | None:
    """The md5 of each tracked file, where the cache or a local remote has the listing."""
    root = _repository(data_dvc)
    if root is None:
        return None
    config = _config(root)
    urls = [config[section]["url"] for section in config.sections() if "url" in config[section]]
    stores = [root / ".dvc" / "cache", *(root / ".dvc" / url for url in urls if "://" not in url)]
    for store in stores:
        path = store / "files" / "md5" / tracked.md5[:2] / tracked.md5[2:]
        if path.is_file():
            return {entry["relpath"]: entry["md5"] for entry in read_json(path)}
    return None
