"""A digest of what code does: comments and docstrings do not change it."""

import ast
from pathlib import Path

from fraudline.core.digest import sha256_bytes


def code_digest(*paths: Path) -> str:
    """Twelve hex digits over the statements of Python files, or of every file under a folder, in order of path."""
    files = sorted(file for path in paths for file in (path.rglob("*.py") if path.is_dir() else [path]))
    return sha256_bytes("\n".join(_statements(file) for file in files).encode())[:12]


def _statements(file: Path) -> str:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [entry for entry in body if not _is_text(entry)]  # type: ignore[attr-defined]
    return ast.dump(tree)


def _is_text(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
