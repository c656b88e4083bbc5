"""``fraudline promotion``: what CI runs on a pull request, what a cluster gets, and the keys."""

import json
import shlex
from pathlib import Path

import click
from rich.console import Console

from fraudline.cli.options import json_option, spoken
from fraudline.cli.promote import params_at, remote_options, repo_option, to_option


@click.group()
def group() -> None:
    r"""Verify promotions, and make the keys that sign them.

    \b
    Try:
      fraudline promotion keygen --private ~/.fraudline/promotion.key --public manifests/promotion.pub
      fraudline promotion verify --base origin/main --head HEAD
    """


@group.command("verify")
@click.option("--base", default="origin/main", show_default=True, help="The target branch: its rules and key hold.")
@click.option("--head", default="HEAD", show_default=True, help="What is proposed.")
@click.option("--models", type=click.Path(path_type=Path, exists=True, file_okay=False),
              help="Folder of artifacts by digest; default: the address in the evidence.")  # fmt: skip
@click.option("--fetch", default="", envvar="FRAUDLINE_FETCH", show_envvar=True,
              help="Command that fetches an address, with the words {uri} and {folder}; no shell runs it.")  # fmt: skip
@repo_option
@json_option
def verify_command(base: str, head: str, models: Path | None, fetch: str, repo: Path, as_json: bool) -> None:
    r"""Check a proposed change of what is served, from its evidence.

    The artifact is digested anew; the signatures are checked with the target branch's key; the change must be one that
    the target branch's rules allow, and nothing else: exit code 4 otherwise. What changes neither rollout.yaml nor
    evidence.json of an environment passes, also another patch of the service: let code owners guard those.

    \b
    Try:
      fraudline promotion verify --fetch "aws s3 cp --only-show-errors --recursive {uri} {folder}"
      fraudline promotion verify --fetch "gcloud storage cp --recursive {uri} {folder}"
    """
    from fraudline.ops.gitops.verify import verify

    results = verify(repo, base, head, models=models, fetch=shlex.split(fetch))
    if as_json:
        click.echo(json.dumps({"verified": [{"kind": result.kind, "said": result.said} for result in results]}))
        return
    said = [result.said for result in results] or [
        "no rollout.yaml or evidence.json is changed: this looks at nothing else"
    ]
    for line in said:
        Console(highlight=False).print(f"[bold green]verified[/]  {line}", soft_wrap=True)


@group.command("apply")
@to_option
@click.option("--context", default="", help="Context of kubectl's configuration; default: the present one.")
@click.option("--dry-run", is_flag=True, help="Let the server check it; change nothing.")
@remote_options
@json_option
def apply_command(
    to: str, context: str, dry_run: bool, token: str, remote: str, repo: Path, params_file: Path, as_json: bool
) -> None:
    """Make a cluster without a GitOps controller serve what the target branch says, by kubectl's server-side apply.

    The same evidence is asked for: a model without a signed promotion is not applied (exit code 4).
    """
    from fraudline.steps.promote import apply_served

    params = params_at(remote, token, params_file)
    result = apply_served(to=to, params=params, repo=repo, token=token, context=context, dry_run=dry_run)
    if as_json:
        click.echo(json.dumps(result, sort_keys=True))
        return
    for line in result["applied"]:
        click.echo(line)
    shares = ", ".join(f"{digest[:12]} {share} %" for digest, share in result["weights"].items())
    spoken().print(f"[bold green]{result['revision'][:12]}[/]  {shares}", soft_wrap=True)


@group.command("keygen")
@click.option("--private", type=click.Path(path_type=Path, dir_okay=False),
              default=Path.home() / ".fraudline" / "promotion.key", show_default="~/.fraudline/promotion.key",
              help="Where the private key goes; never into Git.")  # fmt: skip
@click.option("--public", type=click.Path(path_type=Path, dir_okay=False), default=Path("manifests/promotion.pub"),
              show_default=True, help="Where the public key goes, above those that are there; commit it.")  # fmt: skip
@json_option
def keygen_command(private: Path, public: Path, as_json: bool) -> None:
    """Make a pair of Ed25519 keys. Public keys that the file has stay, and any of them verifies."""
    from fraudline.ops.gitops.signing import make_keys

    name = make_keys(private, public)
    if as_json:
        click.echo(json.dumps({"key": name, "private": str(private), "public": str(public)}))
        return
    spoken().print(
        f"[bold green]key {name}[/]  commit {public}; keep {private} where only promotions run", soft_wrap=True
    )
