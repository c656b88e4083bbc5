"""``fraudline rules``: check a rule file, and try it on past decisions."""

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from fraudline.cli.dlq import stream_params
from fraudline.cli.options import bootstrap_option, json_option, load_params, output, params_option, spoken
from fraudline.core.errors import FraudlineError, UsageError
from fraudline.core.words import counted

if TYPE_CHECKING:
    from fraudline.features.spec import FeatureSpec
    from fraudline.stream.params import StreamParams

folder = click.Path(path_type=Path, exists=True, file_okay=False)
existing = click.Path(path_type=Path, exists=True, dir_okay=False)
file_argument = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
model_option = click.option("--model", type=folder, help="Artifact whose features rules may name.")


@click.group()
def group() -> None:
    r"""Rules beside the model: what must never pass, what must never be stopped.

    \b
    Try:
      fraudline rules check rules.yaml
      fraudline rules fields
      fraudline rules test rules.yaml decisions.jsonl --data data
      fraudline stream --rules rules.yaml
    """


@group.command()
@file_argument
@model_option
@json_option
def check(file: Path, model: Path | None, as_json: bool) -> None:
    """Check a rule FILE: every name, type and list, before a worker takes it."""
    from fraudline.decide.rules import RuleSet

    rules = RuleSet.load(file, _spec(model))
    if as_json:
        listed = [rule.model_dump() for rule in rules.rules]
        click.echo(json.dumps({"version": rules.version, "reads": sorted(rules.names), "rules": listed}))
        return
    for rule in rules.rules:
        click.echo(f"{rule.verdict:<6}  {rule.id}: {rule.when}")
    click.echo(f"{counted(len(rules.rules), 'rules')}, version {rules.version}", err=True)


@group.command()
@model_option
@json_option
def fields(model: Path | None, as_json: bool) -> None:
    """List what a condition may name: the transaction's fields, the score, the features."""
    from fraudline.decide.rules import FIELDS

    named = {name: {"type": kind, "meaning": meaning} for name, (kind, meaning) in FIELDS.items()}
    for feature in _spec(model).features:
        named.setdefault(feature.name, {"type": "double", "meaning": f"{feature.meaning} ({feature.unit})"})
    if as_json:
        click.echo(json.dumps(named))
        return
    for name, about in named.items():
        click.echo(f"{name:<28} {about['type']:<7} {about['meaning']}")


@group.command()
@file_argument
@click.argument("decisions", type=existing, required=False)
@click.option("--topic", is_flag=True, help="Take the decisions of the topic instead of a file.")
@click.option("--data", "dataset", type=folder, help="Data set with the transactions and their labels.")
@model_option
@bootstrap_option
@params_option
@json_option
def test(
    file: Path,
    decisions: Path | None,
    topic: bool,
    dataset: Path | None,
    model: Path | None,
    bootstrap: str | None,
    params_file: Path,
    as_json: bool,
) -> None:
    """Try a rule FILE on past DECISIONS (JSON lines of the topic, parquet or CSV) and say what it would change.

    Fields that the decisions lack, and labels, come from --data. Money is that of evaluate.cost in params.yaml. The
    list of blocked cards is no part of it.
    """
    from fraudline.decide.rules import RuleSet
    from fraudline.decide.rules_trial import try_rules

    if topic == (decisions is not None):
        raise UsageError("There are no decisions to try the rules on, or two kinds.", "Give a file or --topic.")
    params = load_params(params_file)
    spec = params.features.rates() if model is None else _spec(model)
    rules = RuleSet.load(file, spec)
    with tempfile.TemporaryDirectory() as scratch, spoken().status("trying the rules"):
        stream = stream_params(params_file, bootstrap)
        source = decisions or _topic(stream, Path(scratch) / "decisions.jsonl")
        try:
            document = try_rules(
                rules, source, spec, params.evaluate.cost, dataset=dataset, label_delay_days=params.label_delay_days
            )
        except FraudlineError as error:
            if topic:
                problem = error.problem.replace(str(source), f"Topic {stream.topics.decisions}")
                raise type(error)(problem, error.action) from error
            raise
    if as_json:
        click.echo(json.dumps(document))
        return
    _show(document)


def _spec(model: Path | None) -> "FeatureSpec":
    from fraudline.features.spec import load_spec
    from fraudline.model.artifact import load_artifact

    return load_spec() if model is None else load_artifact(model).card_spec


def _topic(params: "StreamParams", file: Path) -> Path:
    """The topic as JSON lines."""
    from fraudline.stream.topic_reader import read_topic

    with file.open("wb") as lines:
        lines.writelines((record.value or b"") + b"\n" for record in read_topic(params, params.topics.decisions))
    return file


def _show(document: dict[str, Any]) -> None:
    from fraudline.data.money import money

    console, currency = output(), document["currency"]
    changes = Table("was", "would be", "transactions", "amount", "known frauds", "of known", title="what would change")
    for change in document["changes"]:
        changes.add_row(change["from"], change["to"], *_cells(change, currency))
    console.print(changes)
    rules = Table("rule", "verdict", "matched", "amount", "known frauds", "of known", "changes", title="by rule")
    for rule in document["rules"]:
        rules.add_row(rule["id"], rule["verdict"], *_cells(rule, currency), f"{rule['changed']['count']:,}")
    console.print(rules)
    before, after = document["before"], document["after"]
    console.print(
        f"{counted(document['rows'], 'decisions')}, {document['known']:,} known, "
        f"{counted(document['frauds'], 'frauds')}"
    )
    if document["known"]:
        saved = money(after["money_saved"] - before["money_saved"], currency, signed=True)
        console.print(
            f"recall {before['recall']:.1%} -> {after['recall']:.1%}, precision {before['precision']:.1%} -> "
            f"{after['precision']:.1%}, money saved {saved}"
        )


def _cells(sums: dict[str, int], currency: str) -> tuple[str, str, str, str]:
    from fraudline.data.money import money

    return (
        f"{sums['count']:,}",
        money(sums["amount_minor"], currency),
        f"{sums['frauds']:,} ({money(sums['fraud_amount_minor'], currency)})",
        f"{sums['known']:,}",
    )
