"""A worker as a process: ``python -m fraudline.stream SETTINGS.yaml MODEL [PROFILES]``.

The command line ``fraudline stream`` is the way in for people; this one is what a container or a test starts.
"""

import os
import sys
from pathlib import Path

from fraudline.core.errors import FraudlineError
from fraudline.core.heap import freeze_heap
from fraudline.core.lineage import LineageParams, open_lineage
from fraudline.core.log import configure, get_logger
from fraudline.stream.params import StreamParams
from fraudline.stream.worker import run_worker, stop_on_signals

log = get_logger(__name__)


def main(arguments: list[str]) -> int:
    """Run a worker until SIGTERM; give the exit status."""
    configure()
    if len(arguments) not in (2, 3):
        sys.stderr.write("usage: python -m fraudline.stream SETTINGS.yaml MODEL [PROFILES]\n")
        return 2
    settings, model, *profiles = (Path(argument) for argument in arguments)
    try:
        stop = stop_on_signals()
        run_worker(
            StreamParams.load(settings),
            model_dir=model,
            profiles_dir=profiles[0] if profiles else None,
            stop=stop,
            on_ready=freeze_heap,
            lineage=open_lineage(LineageParams(), os.environ),
        )
    except FraudlineError as error:
        log.error("worker.failed", problem=error.problem, action=error.action)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
