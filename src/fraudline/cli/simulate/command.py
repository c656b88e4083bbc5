"""``fraudline simulate``; what it does is imported when it runs."""

import json
import time
from pathlib import Path

import click

from fraudline.cli.options import json_option


@click.command()
@click.option("--days", default=365, show_default=True, type=click.IntRange(28), help="Length.")
@click.option("--cards", default=800, show_default=True, type=click.IntRange(100), help="Cards in the population.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Seed of the simulated world.")
@click.option("--kind", default="xgboost", show_default=True, help="train.kind: dense is the autoencoder, slower.")
@click.option("-o", "--out", "folder", default="build/simulation", show_default=True,
              type=click.Path(path_type=Path, file_okay=False), help="Folder of what it leaves; replaced.")  # fmt: skip
@click.option("--picture", type=click.Path(path_type=Path, dir_okay=False), help="Write the picture (SVG) here, too.")
@json_option
def command(days: int, cards: int, seed: int, kind: str, folder: Path, picture: Path | None, as_json: bool) -> None:
    r"""A year on a virtual clock: drift, labels, triggers, retraining, gate, promotion, canary judge and rollback.

    \b
    Real code of each: the generator, the feature kernel, ONNX Runtime, `drift`, the triggers and the journal of
    `retrain`, train, evaluate, gate, package, signed promotions of a bare Git repository, the judge. Not run: Kafka,
    dvc, MLflow and the server (`make test-loop` runs those once). It draws recall at a fixed alert budget, week by
    week, with renewal and without, and every event on it: index.svg and year.json. Run it in the repository's folder.

    \b
    Try:
      fraudline simulate --days 365
      fraudline simulate --days 120 --cards 300 --kind dense
    """
    from rich.console import Console

    from fraudline.cli.simulate.picture import draw
    from fraudline.cli.simulate.run import YEAR, alone, figures, simulate
    from fraudline.core import log
    from fraudline.core.files import write_json, write_text

    log.configure(level="error")
    screen = Console(stderr=True, highlight=False)
    begun = time.monotonic()
    with alone(folder):
        year = simulate(
            days=days, cards=cards, seed=seed, kind=kind, folder=folder,
            tell=lambda noted: screen.print(f"day {noted.day:3}  {noted.what:10} {noted.text}", soft_wrap=True),
        )  # fmt: skip
        document = figures(year, days) | {"cards": cards, "seed": seed, "kind": kind}
        document["seconds"] = round(time.monotonic() - begun, 1)
        write_json(folder / YEAR, document)
        for path in (folder / "index.svg", picture):
            if path is not None:
                write_text(path, draw(document))
    if as_json:
        click.echo(json.dumps(document, sort_keys=True))
        return
    for each in document["drifts"]:
        screen.print(
            f"{each['name']}: {each['before']:.2f} before, {each['after']:.2f} after with renewal "
            f"({each['returned']:.0%}), {each['without']:.2f} without"
        )
    screen.print(f"[bold green]done[/] in {document['seconds']:.0f} s: {folder / 'index.svg'}", soft_wrap=True)
