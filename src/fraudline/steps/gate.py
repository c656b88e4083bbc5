"""Step gate: the evaluation's figures against the rules; the blessing, or exit code 4."""

from pathlib import Path
from typing import Any

from fraudline.core.digest import sha256_file
from fraudline.core.errors import DataError, GateFailed
from fraudline.core.files import atomic_folder, read_json, write_json, write_text
from fraudline.core.log import get_logger
from fraudline.model.artifact import load_artifact
from fraudline.monitor.poisoning import SHARE, named
from fraudline.ops import gate as rules
from fraudline.ops.tracking import BLESSED_TAG, step_run
from fraudline.steps.params import Params

log = get_logger(__name__)


def gate(*, evaluation: Path, model: Path, blessing: Path, params: Params) -> dict[str, Any]:
    """Decide whether the model may be packaged.

    Args:
        evaluation: folder of step evaluate.
        model: the artifact that was evaluated.
        blessing: folder to write: ``blessing.json`` and ``blessing.md``, written also when the gate fails.
        params: ``gate`` holds the rules.

    Returns:
        ``blessed``, the number of ``rules`` and of ``not_applicable`` ones.

    Raises:
        UsageError: a rule names a figure that was not measured.
        DataError: the evaluation is missing, or of another model.
        GateFailed: a rule failed.
    """
    source = evaluation / "metrics.json"
    if not source.is_file():
        raise DataError(f"{source} is missing.", "Run the evaluate step first.")
    metrics = read_json(source)
    artifact = load_artifact(model)
    digest = artifact.digest
    if metrics.get("model", {}).get("digest") != digest:
        raise DataError(f"{source} is not of the model {digest[:12]}.", "Run the evaluate step on this model.")
    results = rules.judge(metrics, params.gate)
    record = rules.blessing(
        results,
        digest=digest,
        champion=(metrics.get("champion") or {}).get("digest"),
        evaluation_sha256=sha256_file(source),
    )
    with atomic_folder(blessing) as folder:
        write_json(folder / "blessing.json", record)
        write_text(folder / "blessing.md", rules.blessing_markdown(record))
    if not record["blessed"]:  # a blessed model is recorded when it is registered
        with step_run("gate", params.registry, digest=digest) as run:
            run.tag(BLESSED_TAG, "false")
            run.artifact(blessing / "blessing.md")
    failed = [result for result in results if result.passed is False]
    log.info("gate.judged", model=digest[:12], blessed=record["blessed"], rules=len(results), failed=len(failed))
    if not record["blessed"]:
        moved = any(rule.metric == SHARE for rule in failed)
        where = named(artifact.meta.contamination or {}) if moved else ""
        problem = _problem(digest, failed)
        raise GateFailed(f"{problem} {where}." if where else problem, f"Read {blessing / 'blessing.md'}.")
    return {
        "blessed": True,
        "rules": len(results),
        "not_applicable": sum(result.passed is None for result in results),
    }


def _problem(digest: str, failed: list[rules.RuleResult]) -> str:
    if not failed:
        return f"The model {digest[:12]} is not blessed: no rule applies to it."
    first = "; ".join(f"{rule.metric} {rule.bound}: {_said(rule)}" for rule in failed[:3])
    return f"The model {digest[:12]} is not blessed: {len(failed)} of its rules failed: {first}."


def _said(rule: rules.RuleResult) -> str:
    return rule.note if rule.value is None else f"it is {rule.value:.4g}"
