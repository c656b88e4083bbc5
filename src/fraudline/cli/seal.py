"""``fraudline seal`` and ``fraudline unseal``: a file or a folder, encrypted for where it lies."""

import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import click

from fraudline.cli.options import json_option
from fraudline.core.errors import StateError, UsageError
from fraudline.core.files import atomic_file, atomic_folder
from fraudline.core.sealing import Encryption, KeyWrapper, Sealer, key_wrapper, unsealed

_CONTEXT = b"export"
_FILE, _FOLDER = b"F", b"D"
"""The first byte of the content: what it is."""

_PATH = click.Path(path_type=Path, exists=True)

key_option = click.option("--key-file", type=click.Path(path_type=Path, exists=True, dir_okay=False),
                          help="Lines of `KEYID HEX`, 32 bytes; the first seals, all open.")  # fmt: skip
service_option = click.option("--key-service", default="", help="An installed key service instead of a key file.")
out_option = click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="What to write.")


@click.command()
@click.argument("path", type=_PATH)
@key_option
@service_option
@out_option
@json_option
def seal(path: Path, key_file: Path | None, key_service: str, out: Path, as_json: bool) -> None:
    r"""Encrypt a file, or a folder such as an artifact, under a new key that a master key wraps (AES-256-GCM).

    \b
    Example:
      (umask 077; echo "m1 $(openssl rand -hex 32)" > master.key)
      fraudline seal artifacts/0f3c... --key-file master.key -o 0f3c.sealed
      fraudline unseal 0f3c.sealed --key-file master.key -o artifacts/0f3c...
    """
    keys = _keys(key_file, key_service)
    if out.resolve().is_relative_to(path.resolve()):
        raise UsageError(f"{out} is what is to be sealed, or in it.", "Write to another place.")
    with atomic_file(out) as temporary, temporary.open("wb") as file, Sealer(file, keys, _CONTEXT) as sealed:
        sealed.write(_FOLDER if path.is_dir() else _FILE)
        if path.is_dir():
            with tarfile.open(fileobj=cast("IO[bytes]", sealed), mode="w|") as archive:
                archive.add(path, arcname=".", filter=_plain)
        else:
            with path.open("rb") as source:
                while part := source.read(1 << 20):
                    sealed.write(part)
    _said(out, as_json)


@click.command()
@click.argument("path", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@key_option
@service_option
@out_option
@json_option
def unseal(path: Path, key_file: Path | None, key_service: str, out: Path, as_json: bool) -> None:
    """Decrypt what `fraudline seal` wrote: whole and unchanged, or exit code 6 and nothing written."""
    with path.open("rb") as source:
        content = _Pieces(unsealed(source, _keys(key_file, key_service), _CONTEXT))
        if content.read(1) == _FILE:
            with atomic_file(out) as temporary, temporary.open("wb") as file:
                while part := content.read(1 << 20):
                    file.write(part)
        elif out.exists():
            raise UsageError(f"{out} is there already.", "Name a new folder.")
        else:
            with atomic_folder(out) as folder:
                with tarfile.open(fileobj=cast("IO[bytes]", content), mode="r|") as archive:
                    archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
                    archive.extractall(folder, _inside(archive))  # noqa: S202 - files and folders inside it only
                while content.read(1 << 20):  # to the end: only then is all of it authentic
                    pass
    _said(out, as_json)


def _inside(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """What :func:`seal` writes: files and folders below one folder. Python 3.11.3 and older have no filter for it."""
    for member in archive:
        if ".." in (parts := Path(member.name).parts) or parts[:1] == ("/",):
            raise StateError(f"{member.name} would be written outside the folder.", "Seal it again.")
        member.mode &= 0o755
        yield _plain(member)


def _said(out: Path, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"out": str(out), "kind": "folder" if out.is_dir() else "file"}))


class _Pieces:
    """A stream of pieces, read by size."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._left = pieces, b""

    def read(self, size: int) -> bytes:
        while len(self._left) < size and (piece := next(self._pieces, b"")):
            self._left += piece
        part, self._left = self._left[:size], self._left[size:]
        return part


def _keys(key_file: Path | None, key_service: str) -> KeyWrapper:
    text = "" if key_file is None else os.fspath(key_file)
    keys = key_wrapper(Encryption.parse({"key_file": text, "service": key_service}, "the command line"))
    if keys is None:
        raise UsageError("There is no key.", "Name --key-file or --key-service.")
    return keys


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    if not (member.isreg() or member.isdir()):
        raise UsageError(f"{member.name} is a link or a special file.", "Seal files and folders only.")
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
