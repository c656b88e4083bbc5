"""The audit page of one decision: what was decided and why, and the way back to model, run, code and data."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from fraudline.core.words import told
from fraudline.model.page import facts, page
from fraudline.steps.explain_page import explained

_TITLES = {
    "card": "The card",
    "record": "The record",
    "times": "When",
    "model": "The model",
    "thresholds": "The thresholds",
    "data": "The data it was trained on",
    "code": "The code that packaged it",
    "run": "The run that made it",
    "gate": "The gate that blessed it",
}
_VERSIONS = ("profile_version", "spec_version", "rule_version", "scored_by", "trace_id")


def audit_page(document: Mapping[str, Any], *, before: Sequence[str] = (), after: Sequence[str] = ()) -> str:
    """The page.

    Args:
        document: what :func:`fraudline.steps.audit_story.story_of` returned.
        before: sections to stand before the score.
        after: sections to stand behind it, before where the decision comes from.

    Returns:
        A complete HTML document that opens offline.
    """
    decision = document["decision"]
    name = str(decision.get("transaction_id", ""))
    sections = [
        f"<h1>Transaction <code>{escape(name)}</code>: {escape(str(decision.get('decision', '')))}</h1>",
        f'<p class="soft">{escape(lead(document))}</p>',
        *before,
        *_score(document["score"], decision),
        *after,
        "<h2>Where the decision comes from</h2>",
    ]
    for part, title in _TITLES.items():
        sections += [f"<h2>{title}</h2>", facts(lines(document[part]))]
    kept = {field: decision[field] for field in _VERSIONS if decision.get(field)}
    sections += ["<h2>Other versions on the decision</h2>", facts(lines(kept))]
    return page(f"Audit of {name}", sections)


def lead(document: Mapping[str, Any]) -> str:
    """The story in three sentences."""
    decision, data, code, run, gate = (document[part] for part in ("decision", "data", "code", "run", "gate"))
    by = f"by {decision.get('scored_by', 'worker')}" if "decided_at" in decision else "offline"
    said = [
        f"Score {decision.get('score', float('nan')):.4f} at threshold {decision.get('threshold', float('nan')):.4f}, "
        f"decided {by} with model {decision.get('model_version', '?')}."
    ]
    if "missing" not in data:
        window = data["trained_on"]
        said.append(
            f"The model learned from {window['rows']:,} known normals of {window['start']} to {window['end']} "
            f"(data {data['md5']})."
        )
    where = [f"revision {code['revision'][:12]}"] if "missing" not in code else []
    where += [f"MLflow run {run['run_id']}"] if run.get("run_id") else []
    if where:
        blessed = "and the gate blessed it" if gate.get("blessed") else "and no blessing is on record"
        said.append(f"It was made by {' and '.join(where)}, {blessed}.")
    return " ".join(said)


def lines(part: Any, prefix: str = "") -> list[tuple[str, str]]:
    """A part of the document as names and values; what lies deeper has its path as its name."""
    if isinstance(part, Mapping):
        return [line for name, value in part.items() for line in lines(value, f"{prefix}{name.replace('_', ' ')} ")]
    if isinstance(part, list) and part and isinstance(part[0], Mapping):
        return [line for number, value in enumerate(part, 1) for line in lines(value, f"{prefix}{number} ")]
    if part is None or part == "":
        return []
    text = (
        ", ".join(map(told, part))
        if isinstance(part, list)
        else f"{part:.6g}"
        if isinstance(part, float)
        else told(part)
    )
    return [(prefix.strip(), text)]


def _score(score: Mapping[str, Any], decision: Mapping[str, Any]) -> list[str]:
    if "missing" in score:
        reasons = [f"<li>{escape(str(reason.get('text', '')))}</li>" for reason in decision.get("reasons") or []]
        return [f"<p>{escape(score['missing'])}</p>", f"<h2>Reasons on the decision</h2><ol>{''.join(reasons)}</ol>"]
    verdict = "equals" if score["same"] else "DIFFERS from"
    checked = (
        f"<p>Computed again from the recorded features, the score {verdict} the recorded one "
        f"(difference {score['difference']:.2g}).</p>"
    )
    return [checked, *explained(score)]
