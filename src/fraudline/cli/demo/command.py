"""The command ``fraudline demo``; what it does is imported when it runs."""

from typing import Any

import click

from fraudline.cli.demo.brokers import CHOICES
from fraudline.cli.options import FiniteRange, params_option


@click.command()
@click.option(
    "--seconds",
    type=FiniteRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    help="How long to stream; sets the rate.",
)
@click.option("--rate", type=FiniteRange(min=0, min_open=True), help="Transactions a second, instead of --seconds.")
@click.option("--canary-percent", type=click.IntRange(0, 100), default=10, show_default=True, help="Canary's traffic.")
@click.option("--broker", type=click.Choice(CHOICES), envvar="FRAUDLINE_BROKER", show_envvar=True, default="auto",
              show_default=True,
              help="auto: FRAUDLINE_BOOTSTRAP, else Apache Kafka (Java 17+, Maven), else the mock.")  # fmt: skip
@click.option("--bootstrap", envvar="FRAUDLINE_BOOTSTRAP", show_envvar=True, default="",
              help="A broker that runs already.")  # fmt: skip
@click.option("--stream-only", is_flag=True, help="Train nothing, and stream until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object on standard output.")
@params_option
def command(**options: Any) -> None:
    r"""The main job on embedded defaults: data, training, gate, two predictors behind Envoy, a scored stream.

    \b
    1. dvc pull data.dvc, dvc repro (nothing to do the second time), a challenger with another seed
    2. a broker, the champion and the challenger as KServe predictors behind Envoy (90 / 10)
    3. transactions of the next days with a fraud campaign of each kind, through the worker
    4. a summary against the truth, one alert's whole story, and the paths of the reports
    """
    from fraudline.cli.demo.run import run

    run(**options)
