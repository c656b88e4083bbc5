"""``fraudline``: the command tree. Each command lives in a module of its own, imported when it is called."""

import difflib
import importlib
import os
import signal
import sys
import threading
from pathlib import Path

import click

from fraudline import __version__
from fraudline.core.errors import FraudlineError, StateError
from fraudline.core.words import printable

_COMMANDS = {
    "alerts": ("fraudline.cli.alerts", "group", "send alerts on: webhook, e-mail, Alertmanager, topic"),
    "cards": ("fraudline.cli.cards", "group", "block and unblock cards, with a trail"),
    "audit": ("fraudline.cli.audit", "group", "trace a decision back, and keep a trail that shows changes"),
    "artifact": ("fraudline.cli.artifact", "group", "look into a model artifact, sign it, verify it"),
    "data": ("fraudline.cli.data", "group", "generate and import transactions"),
    "demo": ("fraudline.cli.demo", "command", "the main job on embedded defaults"),
    "drift": ("fraudline.cli.drift", "command", "compare decisions with the traffic of the training"),
    "dlq": ("fraudline.cli.dlq", "group", "look at dead letters and send them again"),
    "explain": ("fraudline.cli.explain", "command", "why one transaction got its score"),
    "labels": ("fraudline.cli.labels", "group", "send what became of transactions, and measure by it"),
    "params": ("fraudline.cli.params", "command", "check a parameters file, and print all settings that hold"),
    "pipeline": ("fraudline.cli.pipeline", "group", "run and submit the Kubeflow pipelines"),
    "produce": ("fraudline.cli.produce", "command", "send transactions to Kafka at a given rate"),
    "promote": ("fraudline.cli.promote", "command", "propose the blessed challenger by a pull request"),
    "promotion": ("fraudline.cli.promotion", "group", "verify promotions, and make the keys that sign them"),
    "replay": ("fraudline.cli.replay", "command", "decide the past again, and say what would have changed"),
    "retrain": ("fraudline.cli.retrain", "command", "train again when something asks for it, and propose the model"),
    "rollout": ("fraudline.cli.rollout", "group", "judge a canary, and move it on or back by a pull request"),
    "rules": ("fraudline.cli.rules", "group", "check rules, and try them on past decisions"),
    "score": ("fraudline.cli.score", "command", "score a file of transactions offline"),
    "seal": ("fraudline.cli.seal", "seal", "encrypt a file or a folder for where it lies"),
    "serve": ("fraudline.cli.serve", "command", "serve an artifact as a KServe predictor"),
    "simulate": ("fraudline.cli.simulate.command", "command", "a year of the whole loop on a virtual clock"),
    "skew": ("fraudline.cli.skew", "command", "compare the stream's features with the offline ones"),
    "step": ("fraudline.cli.step", "group", "run one pipeline step: files in, files out"),
    "stream": ("fraudline.cli.stream", "command", "score a Kafka topic exactly once"),
    "unseal": ("fraudline.cli.seal", "unseal", "decrypt what seal wrote"),
    "threshold": ("fraudline.cli.threshold", "group", "compare thresholds, and change them with a trail"),
    "tune": ("fraudline.cli.tune", "command", "search training parameters on the validation days"),
}


_SECTIONS = {
    "Begin": ("demo", "simulate"),
    "Data and models": ("data", "params", "step", "tune", "pipeline", "artifact"),
    "Score and explain": ("stream", "serve", "score", "produce", "explain", "threshold"),
    "Act": ("rules", "cards", "alerts", "dlq"),
    "Watch and renew": ("drift", "skew", "labels", "replay", "retrain"),
    "Promote": ("promote", "promotion", "rollout"),
    "Audit and protect": ("audit", "seal", "unseal"),
}
"""Each command once, in the order of the help."""


def with_blocks(command: click.Command) -> click.Command:
    """Give the lines that begin a block of a help text, written as two plain characters, their meaning to click."""
    if command.help:
        command.help = command.help.replace("\\b\n", "\b\n")
    for inner in getattr(command, "commands", {}).values():
        with_blocks(inner)
    return command


class LazyGroup(click.Group):
    """A group that imports a command's module only when the command is named: ``--help`` stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, sorted."""
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command, or None when there is none of that name."""
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        return with_blocks(getattr(importlib.import_module(module), attribute))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        widest = max(map(len, _COMMANDS))
        for title, names in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:{widest}}", _COMMANDS[name][2]) for name in names])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As in click; an unknown name is answered with the one that it is nearest to."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], _COMMANDS, 1)
            raise click.UsageError(f"{error.message} Did you mean {near[0]}?", ctx) if near else error from None


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="fraudline")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]),
              envvar="FRAUDLINE_LOG_LEVEL", show_envvar=True, default="info", show_default=True,
              help="Events from this level on, on standard error.")  # fmt: skip
@click.option("--log-json", is_flag=True, help="Events as one JSON object a line on standard error.")
def cli(log_level: str, log_json: bool) -> None:
    r"""Card fraud detection: from versioned transactions to a model in production and an exactly-once scored stream.

    \b
    First steps:
      make demo                                   everything once, in about three minutes
      fraudline data import table FILE --mapping MAP.yaml
      dvc repro                                   train, evaluate and gate on the data in data/
      fraudline score FILE -o OUT                 score a file offline

    \b
    Exit codes: 0 done · 1 failed in another way · 2 wrong usage · 3 the data is wrong ·
    4 the gate, a rule or the judge refused · 5 the artifact is wrong ·
    6 the state is wrong, or a file or folder cannot be used · 7 a malformed record ·
    8 a service does not answer (try again) · 9 too early to say ·
    10 production is not what training saw (drift, skew) · 130 interrupted
    """
    from fraudline.core import log

    log.configure(level=log_level, as_json=log_json)
    cache = os.environ.get("FRAUDLINE_CACHE")
    if cache:
        os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(cache) / "numba"))
    for name, value in (("TF_CPP_MIN_LOG_LEVEL", "3"), ("GX_ANALYTICS_ENABLED", "false")):
        os.environ.setdefault(name, value)


with_blocks(cli)


def main() -> None:
    """Run the command line and turn every error of ours, and of the file system, into its message and exit code.

    A SIGTERM ends it as an exception does, so that temporary files go; commands that have a way to stop keep theirs.
    After Ctrl-C any error is its end: compiled modules that are being imported swallow it and fail in other ways.
    """
    signal.signal(signal.SIGTERM, _terminated)
    interrupted = threading.Event()

    def interrupt(*_: object) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell's background job ignores it
        signal.signal(signal.SIGINT, interrupt)
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        code = 130
    except KeyboardInterrupt:
        code = 130
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except FraudlineError as error:
        code = _said(error)
    except BrokenPipeError:
        code = 141
    except OSError as error:
        what = f"{error.filename}: " if error.filename is not None else ""
        action = "Name a file or folder that is there and that you may use, on a disk with free space."
        code = _said(StateError(f"{what}{error.strerror or error}.", action))
    except Exception as error:
        if interrupted.is_set():
            code = 130
        elif isinstance(error, ModuleNotFoundError) and not (error.name or "fraudline").startswith("fraudline"):
            from fraudline.cli import extras

            code = _said(extras.missing(str(error.name)))
        else:
            raise
    sys.exit(code if isinstance(code, int) else 0)


_LINES = "\t\n"
"""An error may quote what another program said."""


def _said(error: FraudlineError) -> int:
    click.secho(f"error: {printable(error.problem, kept=_LINES)}", fg="red", err=True)
    if error.action:
        click.echo(f"  -> {printable(error.action, kept=_LINES)}", err=True)
    return error.exit_code


def _terminated(*_: object) -> None:
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    main()
