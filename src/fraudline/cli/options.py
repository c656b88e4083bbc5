"""Options that several commands share."""

import os
from pathlib import Path
from typing import Any

import click

from fraudline.steps.params import Params

params_option = click.option(
    "--params",
    "params_file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("params.yaml"),
    show_default=True,
    help="Parameters of all steps; a missing default file means built-in defaults.",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")


def load_params(path: Path, **sections: Any) -> Params:
    """Read ``params.yaml`` and what the environment adds to it (``MLFLOW_TRACKING_URI``, ``MLFLOW_RUN_ID``).

    Args:
        path: the parameter file.
        sections: top-level values that replace those of the file.
    """
    params = Params.load(path) if path.exists() or path != Path("params.yaml") else Params()
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
    return params.model_copy(update={"registry": registry, **sections})
