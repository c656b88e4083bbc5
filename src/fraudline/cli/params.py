"""``fraudline params``: what a parameters file says once its defaults are filled in."""

import json
from pathlib import Path

import click
import yaml

from fraudline.cli.options import json_option, load_params, params_option
from fraudline.core.errors import without_passwords


@click.command()
@click.option("--changed", is_flag=True, help="Only what is not as the defaults are.")
@params_option
@json_option
def command(changed: bool, params_file: Path, as_json: bool) -> None:
    r"""Check a parameters file, and print every setting that holds: defaults and environment included.

    A setting that there is not, or a value of the wrong kind, is named: exit code 2. What each one means:
    docs/reference/params.md.

    \b
    Try:
      fraudline params --changed
      fraudline params --params bank.yaml --json
    """
    values = load_params(params_file).model_dump(mode="json", exclude_defaults=changed)
    text = json.dumps(values) if as_json else yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    click.echo(without_passwords(text).rstrip("\n"))
