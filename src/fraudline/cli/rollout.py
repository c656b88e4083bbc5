"""``fraudline rollout``: judge a canary, and move it on or back."""

import json
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from fraudline.cli.options import INCONCLUSIVE, json_option, metrics_options, output, publish, spoken
from fraudline.cli.promote import key_option, params_at, remote_options, to_option, told
from fraudline.core.clock import now

EXIT = {"successful": 0, "failed": 4, "inconclusive": INCONCLUSIVE}

prometheus_option = click.option(
    "--prometheus", envvar="FRAUDLINE_PROMETHEUS", show_envvar=True, required=True,
    help="Address of the Prometheus that scrapes the predictors.",
)  # fmt: skip
decisions_option = click.option(
    "--decisions", type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Scored transactions (parquet, CSV, JSON lines): adds precision and recall where labels are known.",
)  # fmt: skip
data_option = click.option(
    "--data", "dataset", type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Data set with the labels of these transactions.",
)  # fmt: skip


@click.group()
def group() -> None:
    r"""Judge a canary against the champion, and move it on or back by a pull request.

    \b
    Try:
      fraudline rollout judge --prometheus http://prometheus:9090
      fraudline rollout step --prometheus http://prometheus:9090 --key ~/.fraudline/promotion.key
      fraudline rollout revert --because "alerts doubled"

    `step` is made to be run every few minutes: it judges, and proposes one step at most.
    """


@group.command("judge")
@to_option
@prometheus_option
@decisions_option
@data_option
@remote_options
@metrics_options
@json_option
def judge_command(
    to: str,
    prometheus: str,
    decisions: Path | None,
    dataset: Path | None,
    token: str,
    remote: str,
    repo: Path,
    params_file: Path,
    textfiles: Path | None,
    pushgateway: str,
    as_json: bool,
) -> None:
    r"""Say whether the canary is as good as the champion: successful, failed, or too early to say.

    \b
    Exit codes: 0 successful · 4 failed · 9 inconclusive

    Look as often as you like: the evidence stays valid. Margins and limits are in rollout.judge of params.yaml.
    """
    from fraudline.steps.rollout import Sources, judge_rollout

    verdict = judge_rollout(
        to=to,
        params=params_at(remote, token, params_file),
        repo=repo,
        sources=Sources(prometheus, decisions, dataset),
        now=now(),
        token=token,
    )
    _publish(to, verdict, textfiles, pushgateway)
    if as_json:
        click.echo(json.dumps(verdict, sort_keys=True))
    else:
        _show(verdict)
    click.get_current_context().exit(EXIT[verdict["verdict"]])


@group.command("step")
@to_option
@prometheus_option
@decisions_option
@data_option
@click.option("--dry-run", is_flag=True, help="Say what would be proposed; push nothing.")
@key_option
@remote_options
@metrics_options
@json_option
def step_command(
    to: str,
    prometheus: str,
    decisions: Path | None,
    dataset: Path | None,
    dry_run: bool,
    key: Path | None,
    token: str,
    remote: str,
    repo: Path,
    params_file: Path,
    textfiles: Path | None,
    pushgateway: str,
    as_json: bool,
) -> None:
    r"""Judge, and propose what follows: the next share of the traffic, the end of the rollout, or its revert.

    \b
    successful     a pull request for the next step; after the last one the canary is champion
    failed         a pull request that takes the canary back, with the verdict in its text
    inconclusive   nothing; after rollout.judge.inconclusive_minutes a person is asked (exit code 9)
    no rollout     the registry's champion is made to follow what is served

    With rollout.forge.auto_merge a step merges itself once the forge's checks allow it.
    """
    from fraudline.steps.rollout import Sources, step_rollout

    result = step_rollout(
        to=to,
        key=key,
        params=params_at(remote, token, params_file),
        repo=repo,
        sources=Sources(prometheus, decisions, dataset),
        now=now(),
        token=token,
        dry_run=dry_run,
    )
    _publish(to, result.get("verdict"), textfiles, pushgateway)
    if as_json:
        click.echo(json.dumps(result, sort_keys=True))
    elif result["action"] in ("propose", "merged"):
        told(result, as_json=False)
    else:
        if "verdict" in result:
            _show(result["verdict"])
        back = f" for {result['back']}, which takes the canary back: merge or delete it" if "back" in result else ""
        said = {"none": "no rollout", "wait": f"waiting{back}", "ask": f"{result.get('title')} {result.get('url', '')}"}
        spoken().print(f"[bold]{said[result['action']]}[/]", soft_wrap=True)
    if result["action"] == "ask":
        click.get_current_context().exit(EXIT["inconclusive"])


@group.command("revert")
@to_option
@click.option("--because", required=True, help="Why: the pull request says it.")
@click.option("--champion", default="", help="Version of the champion to take back (12 digits); default: the canary.")
@click.option("--merge", is_flag=True, help="Merge it, too, where the forge's checks and reviews allow that by now.")
@click.option("--dry-run", is_flag=True, help="Show the commit and the pull request; push and open nothing.")
@remote_options
@json_option
def revert_command(
    to: str,
    because: str,
    champion: str,
    merge: bool,
    dry_run: bool,
    token: str,
    remote: str,
    repo: Path,
    params_file: Path,
    as_json: bool,
) -> None:
    r"""Take the canary back now, or the champion, by a pull request: without a verdict, a key or Prometheus.

    \b
    Try:
      fraudline rollout revert --because "alerts doubled"                           the champion gets all traffic
      fraudline rollout revert --champion 0f3c5a7b9d1e --because "wrong scores"     the model before it does

    Run twice it makes one pull request, and takes back one model. Where a check still runs, run it with --merge again.
    """
    from fraudline.steps.rollout import revert_rollout

    result = revert_rollout(
        to=to,
        because=because,
        params=params_at(remote, token, params_file),
        repo=repo,
        now=now(),
        champion=champion,
        token=token,
        merge=merge,
        dry_run=dry_run,
    )
    told(result, as_json)


@group.command("demo")
@click.option("--model", type=click.Path(path_type=Path, exists=True, file_okay=False),
              help="Folder of the artifact; default: the newest packaged one.")  # fmt: skip
@json_option
def demo_command(model: Path | None, as_json: bool) -> None:
    r"""A rollout on this machine: a good canary to champion, a bad one back, each step a commit of a bare repository.

    \b
    Three predictors behind Envoy, whose weights are those of the newest commit; Prometheus scrapes them (a small
    scraper where it is not installed); the judge's clock is compressed. About two minutes. Run it in the repository's
    folder. What it leaves is in build/demo-rollout.
    """
    from fraudline.cli.demo.rollout import staged, tell
    from fraudline.cli.serve import newest_artifact
    from fraudline.core import log

    log.configure(level="warning")
    screen = spoken()
    begun = now()
    screen.print("starting three predictors, Envoy and Prometheus")
    service = Path("kserve/inferenceservice.yaml")
    with staged(model or newest_artifact(), Path("build/demo-rollout"), service) as stage:
        screen.print(f"metrics by {stage.prometheus.title}")
        tell(stage, lambda line: screen.print(line, soft_wrap=True))
        commits, served = stage.history(), stage.follow().weights()
        screen.print("\n[bold]the commits[/]")
        for line in commits:
            screen.print(f"  {line}")
    took = (now() - begun).total_seconds()
    if as_json:
        click.echo(json.dumps({"commits": commits, "served": served, "seconds": took}, sort_keys=True))
    screen.print(f"\n[bold green]done[/] in {took:.0f} s: git -C build/demo-rollout/remote.git log --first-parent main")


def _publish(to: str, verdict: dict[str, Any] | None, textfiles: Path | None, pushgateway: str) -> None:
    publish(f"rollout_{to}", lambda told: told.rollout(to, verdict), textfiles=textfiles, pushgateway=pushgateway)


def _show(verdict: dict[str, Any]) -> None:
    colour = {"successful": "green", "failed": "red", "inconclusive": "yellow"}[verdict["verdict"]]
    screen = output()
    screen.print(f"[bold {colour}]{verdict['verdict']}[/]  {verdict['reason']}", soft_wrap=True)
    table = Table("check", "canary", "champion", "events", "against it", "for it", "result", box=None, pad_edge=False)
    for column in table.columns[1:6]:
        column.justify = "right"
    for check in verdict["checks"]:
        shares = ["–" if check[side] is None else f"{check[side]:.3%}" for side in ("canary", "champion")]
        values = ["–" if check[e] is None else f"{check[e]:.3g}" for e in ("e_worse", "e_fine")]
        table.add_row(check["name"], *shares, f"{check['events']:,}", *values, check["result"])
    screen.print(table)
