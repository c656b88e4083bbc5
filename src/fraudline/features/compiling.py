"""Compiles a function to machine code, from numba's cache where there is a folder for it."""

from collections.abc import Callable
from typing import Any

from numba import njit


def cached(function: Callable[..., Any]) -> Any:
    """``function`` compiled; where no folder for the cache can be written it is compiled in each process."""
    try:
        return njit(cache=True)(function)
    except RuntimeError:
        return njit(function)
