"""Digests of files and of folders."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

_CHUNK = 1 << 20


def sha256_bytes(content: bytes) -> str:
    """Hex SHA-256 of ``content``."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file, read in pieces."""
    return _hash_file(path, "sha256")


def md5_file(path: Path) -> str:
    """Hex MD5 of a file: DVC's content address, not a security measure."""
    return _hash_file(path, "md5")


def _hash_file(path: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def digest_of(files: Mapping[str, str]) -> str:
    """One hex SHA-256 for a set of files: over sorted lines ``<sha256>  <relative path>``."""
    lines = "".join(f"{files[name]}  {name}\n" for name in sorted(files))
    return sha256_bytes(lines.encode())


def files_under(folder: Path) -> list[str]:
    """Relative POSIX paths of all regular files under ``folder``, sorted."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
