"""What stands before the package step: an artifact with the records of evaluate, gate and infra_validate."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fraudline.core.digest import sha256_file
from fraudline.core.files import write_json
from tests.support.artifacts import tiny_artifact

METRICS = {
    "ap": 0.61,
    "roc_auc": 0.93,
    "recall": 0.4,
    "precision": 0.5,
    "rows": 1200,
    "frauds": 30,
    "intervals": {"ap": [0.55, 0.66], "roc_auc": [0.9, 0.95], "recall": [None, None]},
    "kinds": {"card_testing": {"frauds": 9, "ap": 0.7, "recall": 0.8, "intervals": {"ap": [0.6, 0.8]}}},
    "baselines": {"pca": {"ap": 0.2, "roc_auc": 0.8, "intervals": {"ap": [0.1, 0.3]}}},
}
INFRA = {"rows": 64, "tolerance": 1e-5, "differences": {"v1": 1.5e-8, "v2": 0.0}, "ready_seconds": 4.2}


@dataclass(frozen=True)
class Candidate:
    """The folders that the package step reads."""

    model: Path
    evaluation: Path
    blessing: Path
    infra: Path
    digest: str

    def inputs(self) -> dict[str, Path]:
        """As keywords of the step."""
        return {name: getattr(self, name) for name in ("model", "evaluation", "blessing", "infra")}


def candidate(folder: Path, seed: int = 0, *, blessed: bool = True, served: bool = True) -> Candidate:
    """Write a candidate; another seed, another digest."""
    model = tiny_artifact(folder / "model", seed)
    digest = json.loads((model / "manifest.json").read_text())["digest"]
    write_json(folder / "evaluation" / "metrics.json", METRICS)
    rule: dict[str, Any] = {"metric": "ap", "bound": "at least 0.3", "figure": 0.61, "margin": 0.31, "passed": blessed}
    write_json(
        folder / "blessing" / "blessing.json",
        {
            "format": 1,
            "blessed": blessed,
            "model": {"digest": digest},
            "evaluation_sha256": sha256_file(folder / "evaluation" / "metrics.json"),
            "rules": [rule, {"metric": "ap", "bound": "change", "passed": None, "note": "no <champion>"}],
        },
    )
    write_json(folder / "infra" / "infra.json", INFRA | {"ok": served, "digest": digest})
    return Candidate(model, folder / "evaluation", folder / "blessing", folder / "infra", digest)
