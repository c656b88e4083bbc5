"""Options that several commands share."""

import getpass
import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fraudline.core.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from fraudline.ops.ended import EndedMetrics
    from fraudline.steps.params import Params

params_option = click.option(
    "--params",
    "params_file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("params.yaml"),
    show_default=True,
    help="Parameters of all steps; a missing default file means built-in defaults.",
)


class FiniteRange(click.FloatRange):
    """A finite number within a range; click's own takes NaN, which lies above and below nothing."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number; a usage error when it is none."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no finite number.", param, ctx)
        return number


def _user() -> str:
    """Who runs the command."""
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:  # an account without a name, as in a container
        raise UsageError("Who runs this cannot be told.", "Give --by.") from error


bootstrap_option = click.option(
    "--bootstrap", envvar="FRAUDLINE_BOOTSTRAP", show_envvar=True, help="Kafka's host:port pairs."
)
by_option = click.option(
    "--by", envvar="FRAUDLINE_ACTOR", show_envvar=True, default=_user, help="Who; stands in the trail. Default: you."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")


_PIPE_WIDTH = 10_000
"""Columns of what is no terminal: more than any table has."""


def output(*, markup: bool = True) -> "Console":
    """Standard output for text and tables; where it is no terminal, nothing is cut or broken to fit one.

    Args:
        markup: whether brackets are styles; False where people's own words are shown, which may have some.
    """
    from rich.console import Console

    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    return Console(highlight=False, markup=markup, width=width)


def spoken() -> "Console":
    """Standard error, for what a person reads beside a result; where it is no terminal, no line is broken."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else _PIPE_WIDTH)


def present(
    document: dict[str, Any], as_json: bool, text: Callable[[dict[str, Any]], None], *pages: Path | None
) -> None:
    """Print what a command found: one JSON object, or its text, and on standard error the files that were written."""
    if as_json:
        click.echo(json.dumps(document, sort_keys=True))
        return
    text(document)
    console = spoken()
    for page in pages:
        if page is not None:
            console.print(str(page), style="bold green", soft_wrap=True, markup=False)


def load_params(path: Path, **sections: Any) -> "Params":
    """Read ``params.yaml`` and what the environment adds to it (``MLFLOW_TRACKING_URI``, ``MLFLOW_RUN_ID``).

    Args:
        path: the parameter file.
        sections: top-level values that replace those of the file.
    """
    from fraudline.steps.params import Params

    params = Params.load(path) if path.exists() or path != Path("params.yaml") else Params()
    return with_environment(params).model_copy(update=sections)


def with_environment(params: "Params") -> "Params":
    """Parameters with what the environment says of the registry."""
    registry = params.registry.model_copy(
        update={
            name: value
            for name, value in (
                ("tracking_uri", os.environ.get("MLFLOW_TRACKING_URI")),
                ("run_id", os.environ.get("MLFLOW_RUN_ID")),
            )
            if value
        }
    )
    return params.model_copy(update={"registry": registry})


INCONCLUSIVE = 9
"""Exit code: too early to say."""


def _address(_context: click.Context, _option: click.Parameter, pushgateway: str) -> str:
    """A typing mistake is said before the work, not after it."""
    if pushgateway:
        from fraudline.ops import ended

        ended.check(pushgateway)
    return pushgateway


def metrics_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where a command that ends leaves its metrics."""
    textfiles = click.option(
        "--textfiles", envvar="FRAUDLINE_TEXTFILES", show_envvar=True, type=click.Path(path_type=Path, file_okay=False),
        help="Folder for metrics that node_exporter's textfile collector reads.",
    )  # fmt: skip
    gateway = click.option(
        "--pushgateway",
        envvar="FRAUDLINE_PUSHGATEWAY",
        show_envvar=True,
        default="",
        callback=_address,
        help="host:port of a Pushgateway for metrics.",
    )
    return textfiles(gateway(command))


def publish(job: str, say: "Callable[[EndedMetrics], object]", *, textfiles: Path | None, pushgateway: str) -> None:
    """Publish what ``say`` says, where somebody asked for it; where that fails, say so and go on."""
    from fraudline.ops import ended

    ended.publish(job, say, textfiles=textfiles, pushgateway=pushgateway)
