"""One way to an MLflow client: quiet, without telemetry, without global state."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fraudline.core.errors import UnavailableError

_SQLITE = "sqlite:///"
_TOO_MANY, _NO_ANSWER = 429, 500


def connect(uri: str) -> Any:
    """An ``MlflowClient`` for tracking and registry at ``uri``.

    The import costs seconds, so nothing imports MLflow before it is needed.

    Raises:
        UnavailableError: the store does not answer.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # what a command prints there may be JSON
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own imports deprecate one another
        from mlflow.tracking import MlflowClient

        for name in ("mlflow", "alembic", "mlflow.store.db.utils"):
            logging.getLogger(name).setLevel(logging.ERROR)
        with translated(uri):
            if uri.startswith(_SQLITE):  # asked first: MLflow would try for two minutes
                Path(uri.removeprefix(_SQLITE)).absolute().parent.mkdir(parents=True, exist_ok=True)
            return MlflowClient(tracking_uri=uri, registry_uri=uri)


@contextmanager
def translated(uri: str) -> Iterator[None]:
    """Turn what MLflow and its database raise into an error that names the address and the action.

    Raises:
        UnavailableError: the store does not answer or refuses the call.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise UnavailableError(
            f"MLflow at {uri} refused: {_first_line(error)}.",
            "Correct registry.tracking_uri, start the server, give MLFLOW_TRACKING_TOKEN (or MLFLOW_TRACKING_USERNAME "
            'and MLFLOW_TRACKING_PASSWORD), or set the address to "" to go without.',
        ) from error


def refused(error: UnavailableError) -> bool:
    """Whether :func:`translated` tells of a call that the server will never take, rather than of no server."""
    status = getattr(error.__cause__, "get_http_status_code", lambda: _NO_ANSWER)()
    return bool(status < _NO_ANSWER and status != _TOO_MANY)


def artifact_root(uri: str) -> str | None:
    """Where a new experiment's artifacts go: ``mlartifacts`` beside a sqlite file, else the server's choice."""
    if not uri.startswith(_SQLITE):
        return None
    return (Path(uri.removeprefix(_SQLITE)).absolute().parent / "mlartifacts").as_uri()


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
