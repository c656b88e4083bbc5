"""``fraudline promote``: the blessed challenger as a pull request."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fraudline.cli.options import json_option, load_params, params_option, spoken, with_environment

if TYPE_CHECKING:
    from fraudline.steps.params import Params

key_option = click.option(
    "--key", envvar="FRAUDLINE_SIGNING_KEY", show_envvar=True, type=click.Path(path_type=Path, dir_okay=False),
    help="Private key that signs evidence and verdicts; fraudline promotion keygen makes one.",
)  # fmt: skip
repo_option = click.option(
    "--repo", type=click.Path(path_type=Path, exists=True, file_okay=False), default=Path(), show_default=True,
    help="A repository that knows the remote; its files are not touched.",
)  # fmt: skip
to_option = click.option("--to", default="production", show_default=True, help="Environment of rollout.environments.")


def remote_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The repository that a command works on, and the parameters that hold there."""
    token = click.option(
        "--token", envvar="FRAUDLINE_FORGE_TOKEN", show_envvar=True, default="",
        help="Token that may open pull requests; better by the variable.",
    )  # fmt: skip
    remote = click.option(
        "--remote", envvar="FRAUDLINE_REMOTE", show_envvar=True, default="",
        help="Address of the repository, where there is none here: the params.yaml of its branch main holds.",
    )  # fmt: skip
    return token(remote(repo_option(params_option(command))))


@click.command()
@to_option
@click.option("--artifact", type=click.Path(path_type=Path, exists=True, file_okay=False),
              help="Folder of a stored artifact, instead of the registry's challenger.")  # fmt: skip
@click.option(
    "--again", type=click.IntRange(0), default=0, help="How often this model was promoted and reverted before."
)
@click.option("--dry-run", is_flag=True, help="Show the commit and the pull request; push and open nothing.")
@key_option
@remote_options
@json_option
def command(
    to: str,
    artifact: Path | None,
    again: int,
    dry_run: bool,
    key: Path | None,
    token: str,
    remote: str,
    repo: Path,
    params_file: Path,
    as_json: bool,
) -> None:
    r"""Propose the blessed challenger: one commit on a branch, with signed evidence, and its pull request.

    \b
    Try:
      fraudline promotion keygen                       once: commit the public key
      fraudline promote --to production --key ~/.fraudline/promotion.key --dry-run     the change, unpushed
      fraudline promote --to production --key ~/.fraudline/promotion.key
      FRAUDLINE_FORGE_TOKEN=... fraudline promote      on a forge (rollout.forge in params.yaml)

    Nothing is served before the pull request is merged. Run twice, or killed anywhere, it makes one pull request.
    """
    from fraudline.core.errors import UsageError
    from fraudline.steps.promote import promote

    if key is None:
        raise UsageError("A promotion is signed.", "Name the key with --key or FRAUDLINE_SIGNING_KEY.")
    params = params_at(remote, token, params_file)
    with spoken().status("proposing"):
        result = promote(
            to=to, key=key, params=params, repo=repo, token=token, artifact=artifact, again=again, dry_run=dry_run
        )
    told(result, as_json)


def params_at(remote: str, token: str, params_file: Path) -> "Params":
    """The parameters of a remote's branch main, or those of the file where no remote is named."""
    if not remote:
        return load_params(params_file)
    from fraudline.steps.promote import remote_params

    return with_environment(remote_params(remote, token))


def told(result: dict[str, Any], as_json: bool) -> None:
    """Say what was proposed."""
    if as_json:
        click.echo(json.dumps(result, sort_keys=True))
        return
    from rich.console import Console
    from rich.markdown import Markdown

    screen = Console(highlight=False)
    if result["body"]:
        screen.print(Markdown(f"# {result['title']}\n\n{result['body']}"))
    if result.get("diff"):
        click.echo(f"\n{result['diff']}", nl=False)
    where = result["url"] or (f"branch {result['branch']}" if result["branch"] else "nothing to do")
    done = "pushed" if result["pushed"] and result["state"] != "merged" else result["state"]
    spoken().print(f"[bold green]{result['title']}[/]  {where}: {done}", soft_wrap=True)
