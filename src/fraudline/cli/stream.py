"""``fraudline stream``: the exactly-once worker."""

import os
from pathlib import Path
from typing import Any

import click

from fraudline.cli.options import bootstrap_option, load_params, params_option
from fraudline.cli.serve import newest_artifact
from fraudline.cli.traced import tracing_option

folder = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command()
@click.option("--model", type=folder, help="Folder of the artifact; default: the one the last dvc repro packaged.")
@click.option("--expected-digest", default="", help="Refuse any other model.")
@click.option("--profiles", type=folder, help="Merchant profiles (`fraudline step profiles`).")
@click.option("--history", type=folder, help="Data set of the time before the log's first record.")
@bootstrap_option
@click.option("--transport", type=click.Choice(["kafka-python", "confluent"]), help="The Kafka client.")
@click.option(
    "--stage", type=click.Choice(["decide", "features"]), help="Decide, or write features for others to score."
)
@click.option("--group", help="Consumer group.")
@click.option(
    "--worker-id",
    envvar="FRAUDLINE_WORKER_ID",
    show_envvar=True,
    help="Unique name of this worker; keep it across restarts.",
)
@click.option("--endpoint", help="Score at this InferenceService (V2) instead of in process.")
@click.option("--endpoint-down", type=click.Choice(["hold", "fallback"]), help="While it is down: wait, or score here.")
@click.option("--champion", type=click.Path(dir_okay=False), help="Pointer file; a change of it swaps the model.")
@click.option("--max-latency-ms", type=float, help="From append to committed decision: batches are sized for it.")
@click.option("--checkpoint-dir", help="Folder of the feature state's checkpoints.")
@click.option("--thresholds", help="Thresholds file (`fraudline threshold`) instead of the model's own thresholds.")
@click.option("--rules", help="Rule file (`fraudline rules`) beside the model.")
@click.option("--mode", type=click.Choice(["live", "shadow"]), help="Shadow decides without acting, and says so.")
@click.option("--block-hours", type=float, help="A decision `block` blocks its card for so long; 0: no list of cards.")
@click.option("--metrics-port", type=int, help="Port of /metrics, /readyz and /livez; 0 for none.")
@tracing_option
@click.option("--create-topics", is_flag=True, help="Create the topics that are missing.")
@params_option
def command(
    model: Path | None,
    expected_digest: str,
    profiles: Path | None,
    history: Path | None,
    create_topics: bool,
    params_file: Path,
    tracing: str | None,
    **settings: Any,
) -> None:
    r"""Score the topic `transactions` exactly once, until SIGTERM or Ctrl-C.

    One Kafka transaction a batch: consume, advance the cards' features, score, decide; `decisions`, `alerts`,
    `transactions.dlq` and the consumed offsets commit together or not at all. Settings not given here are those of
    the section `stream` of params.yaml.

    \b
    Try:
      fraudline stream --bootstrap localhost:9092 --create-topics --profiles build/profiles --history data
      fraudline produce data --bootstrap localhost:9092 --rate 500
    """
    from fraudline.core.heap import freeze_heap
    from fraudline.core.lineage import open_lineage
    from fraudline.stream.params import StreamParams
    from fraudline.stream.topics import ensure_topics
    from fraudline.stream.worker import run_worker, stop_on_signals

    given = {name: value for name, value in settings.items() if value is not None}
    settings_of_all = load_params(params_file)
    params = StreamParams.parse({**settings_of_all.stream.model_dump(), **given}, "fraudline stream")
    if tracing is not None:
        params = params.model_copy(update={"tracing": params.tracing.model_copy(update={"endpoint": tracing})})
    if create_topics:
        ensure_topics(params)
    run_worker(
        params,
        model_dir=model or (None if params.champion else newest_artifact()),
        profiles_dir=profiles,
        history_dir=history,
        expected_digest=expected_digest or None,
        stop=stop_on_signals(),
        on_ready=freeze_heap,
        lineage=open_lineage(settings_of_all.lineage, os.environ),
    )
