"""What a pull request says, in Markdown: what changes, why it may, and how to take it back.

Plots are Mermaid's, which GitHub and GitLab draw in a description; in a plain commit message they stay readable text.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fraudline.model import page
from fraudline.model.figure_words import with_key
from fraudline.ops.gitops.evidence import Entry, Evidence
from fraudline.ops.gitops.state import Rollout
from fraudline.ops.gitops.transition import WHOLE

_WORDS = {True: "pass", False: "**fail**", None: "n/a"}


def promotion_title(entry: Entry, environment: str, percent: int) -> str:
    """The title of a promotion."""
    share = f"at {percent} %" if percent else "as first champion"
    return f"Promote model {entry.model['digest'][:12]} to {environment} {share}"


def promotion_body(entry: Entry, evidence: Evidence, state: Rollout, environment: str) -> str:
    """The evidence as tables.

    Args:
        entry: of the new model.
        evidence: of the target branch: its stable entry has the champion's figures.
        state: what is served now.
        environment: where to.
    """
    record = entry.promotion.record
    champion = state.stable.version if state.stable else "none yet"
    dirty = " **with uncommitted changes**" if record["git"].get("dirty") else ""
    lines = [
        f"`{record['model']['digest']}` passed the gate and the real server. Merging serves it in **{environment}**; "
        f"the champion is `{champion}`.",
        "",
        "| what | evidence |",
        "|---|---|",
        f"| artifact | `{record['model']['served_at']}` |",
        f"| data | md5 `{record['data_md5']}` |",
        f"| code | revision `{record['git']['revision']}`{dirty} |",
        f"| MLflow | version {record['mlflow']['version'] or '–'}, run `{record['mlflow']['run_id'] or '–'}` |",
        f"| gate | {_rules(record['blessing'])} |",
        f"| real server | {record['infra']['rows']} golden rows, {_worst(record['infra'])} |",
        "",
        *_figures(record["metrics"], evidence.stable),
        *_figures_plot(record["metrics"], evidence.stable),
        *_gate(record["blessing"]),
        "",
        "CI runs `fraudline promotion verify`: it digests the artifact again, checks the signature with the key of the "
        "target branch, and refuses any change but this one. To take it back, revert the merge.",
    ]
    return "\n".join(lines) + "\n"


def step_title(state: Rollout, to: int, environment: str) -> str:
    """The title of a step, for a canary that is there."""
    name = state.canary.version if state.canary else ""
    if to == 0:
        return f"Revert the rollout of model {name} in {environment}"
    if to == WHOLE:
        return f"Make model {name} the champion of {environment}"
    return f"Model {name} from {state.percent} % to {to} % in {environment}"


def step_body(state: Rollout, to: int, verdict: Mapping[str, Any]) -> str:
    """A verdict as a table, and what merging does."""
    name = state.canary.version if state.canary else ""
    end = {0: f"`{name}` gets no traffic any more", WHOLE: f"`{name}` gets all traffic and is the champion"}
    lines = [
        f"**{verdict['verdict']}** at {state.percent} %: {verdict['reason']}",
        "",
        f"After the merge {end.get(to, f'`{name}` gets {to} % of the traffic')}.",
        "",
        *verdict_table(verdict),
        *_evidence_plot(verdict),
    ]
    return "\n".join(lines) + "\n"


def back_title(state: Rollout, environment: str) -> str:
    """The title of a way back: of the canary, or without one of the champion."""
    if state.canary is not None:
        return step_title(state, 0, environment)
    return f"Take back the champion {state.stable.version if state.stable else ''} of {environment}"


def back_body(state: Rollout, new: Rollout, because: str) -> str:
    """What a person said, and what merging does."""
    gone = state.canary or state.stable
    lines = [
        f"**Asked for by a person**: {because}",
        "",
        f"After the merge `{gone.version if gone else ''}` gets no traffic any more, and "
        f"`{new.stable.version if new.stable else ''}` gets all of it.",
    ]
    return "\n".join(lines) + "\n"


def verdict_table(verdict: Mapping[str, Any]) -> list[str]:
    """The figures of a verdict, one line a check."""
    lines = [
        "| check | canary | champion | events | against it | for it | result |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for check in verdict["checks"]:
        cells = [_share(check["canary"]), _share(check["champion"]), f"{check['events']:,.0f}"]
        cells += [_e(check["e_worse"]), _e(check["e_fine"])]
        lines.append(f"| {check['name']} | {' | '.join(cells)} | {check['result']} |")
    return [
        *lines,
        "",
        "_Against_ and _for_ are e-values: evidence that the canary is worse than its margin, and that it is not.",
    ]


def _figures(metrics: Mapping[str, float], champion: Entry | None) -> list[str]:
    if not metrics:
        return []
    beside = champion.promotion.record["metrics"] if champion else {}
    rows = [
        f"| {with_key(name)} | {value:.4g} | {f'{beside[name]:.4g}' if name in beside else '–'} |"
        for name, value in metrics.items()
    ]
    return ["| figure | this model | champion, when it was promoted |", "|---|---:|---:|", *rows, ""]


def bar_plot(title: str, names: Sequence[str], bars: Sequence[float], line: Sequence[float] = ()) -> list[str]:
    """Bars, and a line over them where there is something to compare with, as a Mermaid block.

    Args:
        title: says what bars and line are.
        names: one a bar.
        bars: finite values.
        line: as many, or none.
    """
    shown = [*bars, *line, 0.0]
    low, high = min(shown), max(shown) or 1.0
    labels = ", ".join(f'"{name}"' for name in names)
    drawn = ["```mermaid", "xychart-beta", f'    title "{title}"', f"    x-axis [{labels}]"]
    drawn += [f"    y-axis {low:.4g} --> {high * 1.05:.4g}", f"    bar [{_values(bars)}]"]
    return [*drawn, *([f"    line [{_values(line)}]"] if line else []), "```", ""]


def _values(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def _figures_plot(metrics: Mapping[str, float], champion: Entry | None) -> list[str]:
    if not metrics:
        return []
    beside = champion.promotion.record["metrics"] if champion else {}
    compared = all(name in beside for name in metrics)
    title = "Bars: this model; line: the champion when it was promoted" if compared else "This model"
    return bar_plot(
        title, list(metrics), list(metrics.values()), [beside[name] for name in metrics] if compared else []
    )


def _evidence_plot(verdict: Mapping[str, Any]) -> list[str]:
    """How far the evidence of each check has come: decades of its e-values."""
    checks = [each for each in verdict["checks"] if each["e_worse"] is not None and each["e_fine"] is not None]
    if not checks:
        return []
    against, fine = ([_decades(each[name]) for each in checks] for name in ("e_worse", "e_fine"))
    title = "Decades of evidence; bars: against the canary, line: for it"
    return ["", *bar_plot(title, [each["name"] for each in checks], against, fine)]


def _decades(e_value: float) -> float:
    return min(max(math.log10(max(e_value, 1e-6)), -6.0), 6.0)


def _gate(blessing: Mapping[str, Any]) -> list[str]:
    lines = ["| gate's rule | this model | champion, same rows | bound | result |", "|---|---:|---:|---|---|"]
    for rule in blessing["rules"]:
        cells = [_number(rule.get("figure")), _number(rule.get("reference")), rule["bound"]]
        lines.append(f"| {with_key(rule['metric'])} | {' | '.join(cells)} | {_WORDS[rule['passed']]} |")
    return lines


def _rules(blessing: Mapping[str, Any]) -> str:
    passed = sum(rule["passed"] is True for rule in blessing["rules"])
    rest = len(blessing["rules"]) - passed
    return f"{passed} rules passed{f', {rest} did not apply' if rest else ''}"


def _worst(infra: Mapping[str, Any]) -> str:
    return f"largest difference {max((infra.get('differences') or {'': 0.0}).values()):.1e} of {infra['tolerance']:.0e}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _share(value: float | None) -> str:
    return "–" if value is None else page.percent(value, 3)


def _e(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if value < 1e6 else "> 10⁶"
