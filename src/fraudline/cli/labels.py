"""``fraudline labels``: what became of transactions, sent to its topic and joined to decisions."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from fraudline.cli.labelled import say_figures
from fraudline.cli.options import (
    bootstrap_option,
    json_option,
    load_params,
    metrics_options,
    params_option,
    present,
    publish,
    spoken,
)
from fraudline.core.clock import now_us
from fraudline.core.words import counted

if TYPE_CHECKING:
    from fraudline.stream.messages import Label

file = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.group()
def group() -> None:
    r"""Labels: chargebacks and analysts' verdicts, which arrive late and are sometimes taken back.

    \b
    Try:
      fraudline labels send chargebacks.jsonl
      fraudline labels performance
      fraudline data collect                      the next step: labelled days become training data
    """


@group.command("send")
@click.argument("source", type=file)
@bootstrap_option
@params_option
@json_option
def send_command(source: Path, bootstrap: str | None, params_file: Path, as_json: bool) -> None:
    r"""Send the labels of SOURCE (JSON lines) to the topic `labels`; the whole file is checked first.

    \b
    A line: {"transaction_id": "t1", "is_fraud": true, "kind": "chargeback", "version": 1,
             "labelled_at": 1767571200000000}
    kind is chargeback, analyst or reversal. The highest version of a transaction holds, whatever arrives last: a
    chargeback that is taken back is sent again as a reversal with is_fraud false and the next version.
    """
    from fraudline.stream.labels import check_past, read_label_file, send_labels

    labels = list(read_label_file(source))
    check_past(labels, now_us())
    params = load_params(params_file).with_bootstrap(bootstrap).stream
    count = send_labels(labels, params) if labels else 0  # on a day without labels no broker is waited for
    if as_json:
        click.echo(json.dumps({"sent": count}))
    else:
        said = f"{count:,} sent" if labels else f"none in {escape(str(source))}: nothing is sent"
        spoken().print(f"[bold green]labels[/]  {said}", soft_wrap=True)


@group.command("performance")
@click.option("--decisions", type=file, help="JSON lines as the topic has them, instead of the topic.")
@click.option("--labels", "labels_file", type=file, help="JSON lines of labels, instead of the topic.")
@click.option("--days", type=click.IntRange(0), default=28, show_default=True, help="Newest matured days; 0 for all.")
@click.option("--model", "model_version", default="", help="Of one model version alone.")
@click.option("--data", "dataset", type=click.Path(path_type=Path, exists=True, file_okay=False),
              help="Data set with the amounts, instead of the topic of transactions.")  # fmt: skip
@metrics_options
@bootstrap_option
@params_option
@json_option
def performance_command(
    decisions: Path | None,
    labels_file: Path | None,
    days: int,
    model_version: str,
    dataset: Path | None,
    textfiles: Path | None,
    pushgateway: str,
    bootstrap: str | None,
    params_file: Path,
    as_json: bool,
) -> None:
    """Precision, recall and money of decisions whose labels have matured, with intervals.

    Money is by currency: frauds that were stopped (alerted) and missed, and good transactions that were held up. The
    amounts come from the topic of transactions, from --data, or from amount_minor and currency in --decisions.

    A blocked transaction never gets a chargeback. With stream.review_sample a share of them passes to review and stands
    for the others; without, the figures are of what was not blocked, and the answer says so.
    """
    from fraudline.steps.amounts import amounts_by
    from fraudline.steps.matured import Window, decided_in_file, decided_on_topic, matured
    from fraudline.stream.labels import newest, read_label_file, read_label_topic

    params, at = load_params(params_file).with_bootstrap(bootstrap), now_us()
    found: Iterable[Label] = read_label_file(labels_file) if labels_file else read_label_topic(params.stream)
    document = matured(
        decisions=decided_in_file(decisions) if decisions else decided_on_topic(params),
        labels=newest(found, before_us=at),
        window=Window.before(at, params.label_delay_days, days),
        params=params,
        model_version=model_version,
        amounts=amounts_by(params, dataset, on_topic=decisions is None),
    )
    publish("labels", lambda metrics: metrics.labels(document), textfiles=textfiles, pushgateway=pushgateway)
    present(document, as_json, lambda found: _say(found, params.monitor.label_rows_min))


def _say(document: Mapping[str, Any], least: int) -> None:
    say_figures(document, least)
    of = f"{counted(document['rows'], 'decisions')} of {counted(document['days'], 'days')}"
    said = f"{of}, {counted(document['frauds'], 'frauds')}"
    if document["covers"] != "all":
        said += f"; {document['blocked']:,} blocked ones are not in it (stream.review_sample is 0)"
    if document["amounts_unknown"]:
        said += f"; the amounts of {document['amounts_unknown']:,} are not known (--data)"
    spoken().print(said)
