"""Compiles a function to machine code, from numba's cache where there is a folder for it."""

from collections.abc import Callable
from importlib.resources import files
from typing import Any

from numba import njit

from fraudline.core.digest import sha256_bytes


def cached(function: Callable[..., Any], **options: Any) -> Any:
    """``function`` compiled; where no folder for the cache can be written it is compiled in each process.

    Args:
        function: of module level.
        options: of ``numba.njit``.
    """
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:
        return njit(**options)(function)


def stamp(*modules: str) -> int:
    """A number made of the sources of modules of this package.

    numba's cache looks at the file of a function and at what the function is closed over, not at what it calls in other
    modules: a loop that calls into them is closed over their stamp.
    """
    package = files("fraudline.features")
    return int(sha256_bytes(b"".join(package.joinpath(name).read_bytes() for name in modules))[:15], 16)
