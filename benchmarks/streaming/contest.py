"""Starts contestants as processes of their own and reads what they print."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_TIMEOUT_S = 3_600
_TICK = os.sysconf("SC_CLK_TCK")


def run(module: str, config: Mapping[str, Any], *more: str, python: str = sys.executable) -> dict[str, Any]:
    """Run a contestant to its end; gives its figures.

    Raises:
        SystemExit: it failed; quotes the end of its output.
    """
    return finish(start(module, config, *more, python=python))


def start(module: str, config: Mapping[str, Any], *more: str, python: str = sys.executable) -> subprocess.Popen[str]:
    """Start a contestant: ``python -m module CONFIG MORE...`` in the repository's root."""
    command = [python, "-W", "ignore", "-m", module, json.dumps(dict(config)), *more]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for a contestant's figures."""
    out, err = process.communicate(timeout=_TIMEOUT_S)
    lines = [line for line in out.splitlines() if line.startswith("{")]
    if process.returncode or not lines:
        raise SystemExit(f"{process.args!r} ended with {process.returncode}:\n{err[-2000:]}")
    figures: dict[str, Any] = json.loads(lines[-1])
    return figures


def run_watched(module: str, config: Mapping[str, Any], *more: str, python: str) -> dict[str, Any]:
    """Run a contestant of many processes; its CPU seconds are those of its whole tree between its two lines."""
    process = start(module, config, *more, python=python)
    _line(process, lambda text: text.strip() == "ready")
    before = tree_cpu(process.pid)
    figures: dict[str, Any] = json.loads(_line(process, lambda text: text.startswith("{")))
    figures["cpu_s"] = tree_cpu(process.pid) - before
    process.communicate("done\n", timeout=60)
    return figures


def tree_cpu(root: int) -> float:
    """CPU seconds of a process and of all that descend from it, the ended ones as far as they were waited for."""
    stats: dict[int, float] = {}
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text(encoding="utf-8").rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        pid = int(entry.parent.name)
        stats[pid] = sum(map(int, fields[11:15])) / _TICK
        children.setdefault(int(fields[1]), []).append(pid)
    total, left = 0.0, [root]
    while left:
        pid = left.pop()
        total += stats.get(pid, 0.0)
        left += children.get(pid, [])
    return total


def quickest(values: Iterable[float]) -> float:
    """Mean of the least third: what else runs on a machine only ever makes a run slower."""
    rising = sorted(values)
    least = rising[: max(len(rising) // 3, 1)]
    return sum(least) / len(least)


def _line(process: subprocess.Popen[str], wanted: Callable[[str], bool]) -> str:
    for text in process.stdout or ():
        if wanted(text):
            return text
    raise SystemExit(f"{process.args!r} ended early:\n{process.stderr.read()[-2000:] if process.stderr else ''}")
