"""``fraudline alerts``: send alerts on to people and machines."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fraudline.cli.alert_letters import group as dead_letters
from fraudline.cli.dlq import stream_params
from fraudline.cli.options import bootstrap_option, json_option, params_option
from fraudline.core.errors import FraudlineError, UnavailableError, UsageError
from fraudline.core.words import counted

if TYPE_CHECKING:
    from fraudline.decide.routing import Group

file_argument = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


@click.group()
def group() -> None:
    r"""Alerts: from the topic `alerts` to a webhook, e-mail, Alertmanager or another topic, as CloudEvents.

    \b
    Try:
      fraudline alerts check alerts.yaml
      fraudline alerts test alerts.yaml soc
      fraudline alerts run alerts.yaml --bootstrap localhost:9092 --create-topics
      fraudline alerts dead-letters replay alerts.yaml
    """


group.add_command(dead_letters)


@group.command()
@file_argument
@click.option("--create-topics", is_flag=True, help="Create what is missing of alerts, dead letters and sinks' topics.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address of /metrics, /readyz and /livez.")
@click.option("--port", type=click.IntRange(0, 65_535), default=0, show_default=True, help="Their port; 0 for none.")
@bootstrap_option
@params_option
def run(file: Path, create_topics: bool, host: str, port: int, bootstrap: str | None, params_file: Path) -> None:
    """Send alerts on by the routing FILE, until SIGTERM or Ctrl-C.

    Each alert reaches each sink of its routes at least once; a repetition has the same idempotency key. A change of the
    file holds within a second, without a restart; a file that is wrong is refused and the one in use goes on.
    """
    from fraudline.stream.alert_router import Routing, run_router
    from fraudline.stream.alert_sinks import TopicSink
    from fraudline.stream.topics import alert_topics, ensure_topics
    from fraudline.stream.worker import stop_on_signals

    params = stream_params(params_file, bootstrap)
    stop = stop_on_signals()
    if create_topics:
        sinks = Routing.load(file).sinks.values()
        ensure_topics(params, alert_topics(params, [sink.topic for sink in sinks if isinstance(sink, TopicSink)]))
    run_router(params, file, stop=stop, host=host, port=port)


@group.command()
@file_argument
@json_option
def check(file: Path, as_json: bool) -> None:
    """Check a routing FILE, show its routes, and warn of secrets that are not there."""
    from fraudline.stream.alert_router import Routing
    from fraudline.stream.alert_sinks import Secret

    routing = Routing.load(file)
    if as_json:
        click.echo(routing.model_dump_json())
        return
    for route in routing.routes:
        asked = route.match.model_dump(mode="json", exclude_defaults=True)
        match = ", ".join(
            f"{name} {' or '.join(map(str, value)) if isinstance(value, list) else value}"
            for name, value in asked.items()
        )
        together = "each by itself" if route.quiet_s == 0 else f"together by {', '.join(route.group_by) or 'route'}"
        click.echo(f"{route.name}: {match or 'all alerts'} -> {', '.join(route.sinks)}, {together}")
    unused = sorted(set(routing.sinks) - {sink for route in routing.routes for sink in route.sinks})
    click.echo(
        f"{counted(len(routing.routes), 'routes')}, {counted(len(routing.sinks), 'sinks')}"
        + (f", unused: {unused}" if unused else "")
    )
    for name, sink in routing.sinks.items():
        for secret in (value for _, value in sink if isinstance(value, Secret)):
            try:
                secret.read()
            except UnavailableError as error:
                click.echo(f"warning: sink {name}: {error.problem} {error.action}", err=True)


@group.command()
@file_argument
@click.argument("sinks", nargs=-1)
@bootstrap_option
@params_option
@json_option
def test(file: Path, sinks: tuple[str, ...], bootstrap: str | None, params_file: Path, as_json: bool) -> None:
    """Send a made-up alert to SINKS of the routing FILE, by default to each; one try."""
    from fraudline.stream.alert_events import event_of
    from fraudline.stream.alert_router import Routing
    from fraudline.stream.alert_senders import open_sink
    from fraudline.stream.alert_sinks import send_once

    params, routing = stream_params(params_file, bootstrap), Routing.load(file)
    unknown = sorted(set(sinks) - set(routing.sinks))
    if unknown:
        raise UsageError(f"{file} has no sink {unknown[0]}.", f"Choose from {', '.join(sorted(routing.sinks))}.")
    made_up = _made_up()
    outcome: dict[str, str] = {}
    for name in sinks or tuple(routing.sinks):
        sink = open_sink(routing.sinks[name], params)
        try:
            refused = send_once(sink, event_of(made_up, f"/fraudline/{params.group}"), f"test:{made_up.id}")
            outcome[name] = f"sent, but not to {'; '.join(refused)}" if refused else "sent"
        except FraudlineError as error:
            outcome[name] = error.problem
        finally:
            sink.close()
        if not as_json:
            click.echo(f"{name}: {outcome[name]}")
    if as_json:
        click.echo(json.dumps(outcome))
    failed = [name for name, said in outcome.items() if said != "sent"]
    if failed:
        raise UnavailableError(f"{', '.join(failed)} did not take the alert.", "Look at what is said above.")


def _made_up() -> "Group":
    from fraudline.decide.routing import Group
    from fraudline.stream.messages import Alert, ReasonMessage

    now = time.time_ns() // 1_000
    alert = Alert(
        transaction_id=f"test-{now}", card_id="test-card", event_time=now, score=9.9, decision="review", threshold=5.0,
        reasons=[ReasonMessage("amount", 1.0, 45.0, 20.0, "this is a test of the way, not a fraud")],
        model_version="test", threshold_version="test", profile_version="", spec_version="test", partition=0, offset=0,
        decided_at=now, merchant_id="test-merchant", amount_minor=4_500, currency="EUR",
    )  # fmt: skip
    made_up = Group("test", {}, 0.0, 0.0, alert, alert)
    made_up.add(alert, (0, 0), 0.0)
    return made_up
