"""Would a cache pay? Of answers by the digest of the body, and of merchant profiles."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serving.load import cases
from benchmarks.serving.setting import Setting
from benchmarks.streaming.page import table
from fraudline.features.profiles import ProfileTable

_PROFILES = Path("build/profiles")


def measure(setting: Setting) -> dict[str, Any]:
    """The time of an answer, of a look into a cache, and the share of repeats from which a cache wins."""
    from kserve import ModelRepository

    from fraudline.serve.dataplane import StrictDataPlane
    from fraudline.serve.direct import DirectRoute
    from fraudline.serve.model import FraudModel

    model = FraudModel("fraud", setting.model)
    model.load()
    repository = ModelRepository()
    repository.update(model)
    route = DirectRoute(StrictDataPlane(repository), ["fraud"])
    figures, rows = {}, []
    for case in cases(setting.artifact):
        if not case.path:
            continue
        calls = 8 if setting.short else 80 if case.rows > 1 else 800
        answer = _least(lambda: asyncio.run(_answers(route, case, calls)), calls)  # noqa: B023
        kept: OrderedDict[bytes, bytes] = OrderedDict()
        look = _least(lambda: _looks(kept, case.body, calls), calls)  # noqa: B023
        figures[case.key] = {"answer_us": answer, "cache_us": look, "pays_from": look / answer}
        rows.append([case.key, f"{answer:,.0f} µs", f"{look:.1f} µs", f"{look / answer:.1%}"])
    text = table(["protocol, rows", "answer", "digest, look and keep", "pays from this share of repeats on"], rows)
    figures["profiles"] = _profiles(setting)
    return {"figures": figures, "table": f"{text}\n\n{_said(figures['profiles'])}"}


async def _answers(route: Any, case: Any, calls: int) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": case.body, "more_body": False}

    async def send(_: Any) -> None:
        return

    headers = [(name.encode(), value.encode()) for name, value in case.headers.items()]
    scope = {"type": "http", "method": "POST", "path": case.path, "headers": headers}
    for _ in range(calls // 8):
        await asyncio.gather(*(route.handle(scope, receive, send) for _ in range(8)))


def _looks(kept: "OrderedDict[bytes, bytes]", body: bytes, calls: int) -> None:
    """A miss each time, as most requests would be: digest, look, keep, forget the oldest."""
    for i in range(calls):
        key = blake2b(body, digest_size=16, salt=i.to_bytes(8, "little")).digest()
        if kept.get(key) is None:
            kept[key] = body
            if len(kept) > 4_096:
                kept.popitem(last=False)


def _least(run: Callable[[], object], calls: int) -> float:
    """CPU µs a call, the least of five."""
    best = np.inf
    for _ in range(5):
        before = time.process_time()
        run()
        best = min(best, (time.process_time() - before) / calls * 1e6)
    return float(best)


def _profiles(setting: Setting) -> dict[str, float]:
    if not (_PROFILES / "profiles.json").is_file():
        return {}
    before = time.process_time()
    loaded = ProfileTable.load(_PROFILES, setting.artifact.card_spec)
    seconds = time.process_time() - before
    return {"seconds": seconds, "mb": loaded.values.nbytes / 1e6, "tables": len(loaded.starts)}


def _said(profiles: dict[str, float]) -> str:
    if not profiles:
        return "No profiles here: make repro makes them."
    return (
        f"Profiles: the {profiles['tables']:.0f} tables are read once, in {profiles['seconds']:.2f} s, and lie "
        f"in memory as {profiles['mb']:.1f} MB from then on; a transaction reads its row by index. "
        "There is nothing to cache."
    )
