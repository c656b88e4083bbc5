"""An artifact as the store has it: named by its digest, with its provenance beside it."""

from pathlib import Path

from fraudline.core.files import write_json
from fraudline.model.artifact import load_artifact
from fraudline.ops import store as stores
from tests.support.artifacts import tiny_artifact


def stored_artifact(folder: Path, *, revision: str = "1" * 40, seed: int = 0, review: float = 0.42,
                    block: float = 0.47) -> Path:  # fmt: skip
    """Write a tiny artifact into ``folder/artifacts`` and say where it came from; gives its entry."""
    made = tiny_artifact(folder / f"model-{seed}", seed, review=review, block=block)
    entry = stores.put(made, folder / "artifacts")
    artifact = load_artifact(entry)
    write_json(
        stores.provenance_file(entry),
        {
            "format": 1,
            "digest": artifact.digest,
            "git": {"revision": revision, "dirty": False},
            "packaged_at": "2026-01-04T12:00:00+00:00",
            "data_md5": artifact.meta.data_md5,
            "metrics": {"ap": 0.431, "roc_auc": 0.924},
            "blessing": {
                "blessed": True,
                "champion": None,
                "rules": [{"metric": "ap", "value": 0.431, "bound": "at least 0.3", "passed": True}],
            },
            "infra": {"ok": True},
            "registration": {
                "registered": True,
                "run_id": "d028cb19",
                "model": "fraudline",
                "version": "7",
                "aliases": ["champion"],
                "uri": entry.resolve().as_uri(),
            },
        },
    )
    return entry
