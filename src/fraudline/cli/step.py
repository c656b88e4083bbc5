"""``fraudline step NAME``: the command of a step is made from its function, so the two cannot differ."""

import importlib
import inspect
import json
import os
import types
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, get_args, get_type_hints

import click
from rich.console import Console
from rich.markup import escape

from fraudline.cli.options import json_option, load_params, metrics_options, params_option, publish, spoken
from fraudline.cli.progress import epochs
from fraudline.steps import STEPS

_CONTINUED = " " * 8


class StepGroup(click.Group):
    """One sub-command a step, in pipeline order, made when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The steps in pipeline order."""
        return list(STEPS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Build the command of one step."""
        name = cmd_name.replace("-", "_")
        return command_of(name) if name in STEPS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the steps without importing them."""
        with formatter.section("Steps"):
            formatter.write_dl(list(STEPS.items()))


@click.group(cls=StepGroup)
def group() -> None:
    """Run one step of the pipeline: files in, files out.

    The dvc stages and the Kubeflow components call the same functions with the same parameters.

    An output folder is replaced as a whole when a step runs again: keep nothing of your own in it.
    """


def step_function(name: str) -> Callable[..., dict[str, Any]]:
    """The function of a step: ``fraudline.steps.<name>.<name>``."""
    function: Callable[..., dict[str, Any]] = getattr(importlib.import_module(f"fraudline.steps.{name}"), name)
    return function


def command_of(name: str) -> click.Command:
    """Turn the signature of a step's function into a command: a keyword is a flag, ``params`` is ``--params``."""
    function = step_function(name)
    hints = get_type_hints(function)
    summary, meanings = described(function)
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name != "params"]
    options = [_option(p, hints[p.name], meanings.get(p.name, "")) for p in parameters]

    def run(params_file: Path, as_json: bool, textfiles: Path | None, pushgateway: str, **values: Any) -> None:
        from fraudline.ops.cost import Meter
        from fraudline.steps.lineage import finished, observed

        console = spoken()
        params = load_params(params_file).with_bootstrap(os.environ.get("FRAUDLINE_BOOTSTRAP"))
        with observed(name, values, params, os.environ) as lineage:
            with Meter() as meter, epochs(console) if name == "train" else nullcontext():
                result = function(params=params, **values)
            finished(lineage, result)
        price, currency = meter.usage.price(params.cost), params.cost.currency
        publish(
            name,
            lambda metrics: metrics.step(name, meter.usage, price=price, currency=currency),
            textfiles=textfiles,
            pushgateway=pushgateway,
        )
        if as_json:
            click.echo(json.dumps(result, sort_keys=True, default=str))
        else:
            _summary(console, name, result)

    command = click.command(name, help=summary)(metrics_options(params_option(json_option(run))))
    command.params[:0] = options
    return command


def described(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """What a docstring in Google style says: the text before ``Args``, and the meaning of each argument."""
    summary, _, rest = (inspect.getdoc(function) or "").replace("``", "").partition("\nArgs:\n")
    meanings: dict[str, str] = {}
    name = ""
    for line in rest.split("\n\n")[0].splitlines():
        if not line.startswith(_CONTINUED):
            name, _, line = line.strip().partition(":")  # noqa: PLW2901 - what is left of the line
        meanings[name] = f"{meanings.get(name, '')} {line.strip()}".strip()
    return summary.strip(), meanings


def _option(parameter: inspect.Parameter, hint: Any, meaning: str) -> click.Option:
    if isinstance(hint, types.UnionType):
        hint = next(a for a in get_args(hint) if a is not type(None))
    kind: Any = click.Path(path_type=Path) if hint is Path else hint
    names = [f"--{parameter.name.replace('_', '-')}", parameter.name]
    if hint is bool:
        return click.Option(names, is_flag=True, default=parameter.default, help=meaning)
    if parameter.default is inspect.Parameter.empty:
        return click.Option(names, type=kind, required=True, help=meaning)
    return click.Option(names, type=kind, default=parameter.default, show_default=True, help=meaning)


def _summary(console: Console, name: str, result: dict[str, Any]) -> None:
    shown = "  ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in result.items()
        if isinstance(value, str | int | float) and value != ""
    )
    console.print(f"[bold green]{name}[/]  {escape(shown)}", soft_wrap=True)
