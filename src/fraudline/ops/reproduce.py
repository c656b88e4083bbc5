"""A training on this machine (``dvc repro``) or on a pipeline server, each startable again without doing it twice."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fraudline.core.documents import parse_yaml
from fraudline.core.errors import DataError, FraudlineError, GateFailed, UnavailableError
from fraudline.core.files import write_text
from fraudline.core.log import get_logger
from fraudline.ops.pipeline_server import PipelineServer

log = get_logger(__name__)

_EXITED = re.compile(r"exited with (\d+)")
_PROBLEM = re.compile(r"^(?:error: )(.+)$", re.MULTILINE)
_REFUSED: dict[int, type[FraudlineError]] = {3: DataError, 4: GateFailed}
_TORN = "Unable to read RWLock-file"
"""What dvc says of a lock file that a kill left half written, and goes on saying. It looks while it holds that file's
guard, so nobody is writing it."""
_BUSY = "is being blocked by"
"""What dvc says where a process that its lock file names is there. A killed one is until its parent has asked for it,
and in a container that was started anew its number is another process's."""
_PID = re.compile(r'"pid": (\d+)')
_RECORD = "dvc.lock"
"""dvc's record of what it ran with what. It is written in place: a kill can leave it empty, or cut."""
_TORN_RECORD = re.compile(r"dvc\.lock' (?:validation failed|is invalid)")
_TRAINED = "Running stage 'train'"
_TAIL = 300
_EXPERIMENT = "fraudline"
"""What the runs on a server belong to."""
_PACKAGE = "build/package/package.json"
"""File of step package, which names what was trained."""


@dataclass(frozen=True, slots=True)
class DvcTrainer:
    """``dvc repro`` of a working tree: what is done already it does not do again.

    Attributes:
        repo: the working tree.
        logs: folder for its output.
    """

    repo: Path
    logs: Path

    def train(self, run: str, lock: int) -> Mapping[str, Any]:
        """Run it to its end; the child keeps ``lock`` for as long as it lives.

        Returns:
            The model, ``found`` when neither this call nor an earlier one of the run had to train it.

        Raises:
            DataError: a step refused the data.
            GateFailed: the gate, or the server's check, refused the model.
            UnavailableError: it failed otherwise.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        output = self.logs / f"{run}.log"
        self._keep_record()
        failed, said = self._repro(output, lock)
        if failed and _TORN_RECORD.search(said):
            self._restore_record()
            log.warning("reproduce.torn_record_restored", run=run)
            failed, said = self._repro(output, lock)
        if failed and (_TORN in said or (_BUSY in said and not self._another_dvc())):
            self._lock_file.unlink(missing_ok=True)
            log.warning("reproduce.lock_of_a_killed_one_removed", run=run)
            failed, said = self._repro(output, lock)
        if failed:
            code = int(found[-1]) if (found := _EXITED.findall(said)) else 0
            problem = found[-1] if (found := _PROBLEM.findall(said)) else said.strip()[-_TAIL:]
            kind = _REFUSED.get(code, UnavailableError)
            raise kind(problem, f"Read {output}.")
        record = json.loads((self.repo / _PACKAGE).read_text(encoding="utf-8"))
        trained = _TRAINED in output.read_text(encoding="utf-8", errors="replace")
        return {"state": "trained" if trained else "found", "digest": record["digest"], "uri": record["uri"]}

    def holds(self, run: str) -> bool:
        """Never: a working tree has the data and parameters that it has now."""
        return False

    @property
    def _lock_file(self) -> Path:
        return self.repo / ".dvc" / "tmp" / "rwlock"

    def _another_dvc(self) -> bool:
        """Whether a process that dvc's lock file names is a dvc that lives."""
        return any(map(_is_dvc, _PID.findall(self._lock_file.read_text(encoding="utf-8"))))

    def _keep_record(self) -> None:
        """Keep a copy of dvc's record, where it is whole."""
        record = self.repo / _RECORD
        try:
            text = record.read_text(encoding="utf-8")
            whole = "stages" in dict(parse_yaml(text, str(record)))
        except (OSError, ValueError, TypeError, FraudlineError):  # none yet, or cut
            return
        if whole:
            write_text(self.logs / _RECORD, text)

    def _restore_record(self) -> None:
        """Put back the record as it was kept, or none: dvc then runs again what its cache has not."""
        kept = self.logs / _RECORD
        if kept.is_file():
            write_text(self.repo / _RECORD, kept.read_text(encoding="utf-8"))
        else:
            (self.repo / _RECORD).unlink()

    def _repro(self, output: Path, lock: int) -> tuple[bool, str]:
        """Whether it failed, and what it said, which is appended to ``output``."""
        with output.open("ab") as stream:
            begin = stream.tell()
            command = [sys.executable, "-m", "dvc", "repro"]
            done = subprocess.run(command, cwd=self.repo, stdout=stream, stderr=stream, pass_fds=(lock,), check=False)
        return done.returncode != 0, output.read_bytes()[begin:].decode(errors="replace")


def _is_dvc(pid: str) -> bool:
    """Whether a process is there and its command names dvc; where the system does not tell, it counts as one."""
    try:
        command = Path("/proc", pid, "cmdline").read_bytes()  # empty once it was killed
    except PermissionError:
        return True
    except OSError:
        return not Path("/proc/self").exists()
    return b"dvc" in command


@dataclass(frozen=True, slots=True)
class ServerTrainer:
    """The compiled training pipeline on a Kubeflow Pipelines server; a run of that name is found and not made again.

    Attributes:
        server: where.
        compiled: the pipeline, which promotes what it blesses where its parameters say so.
        arguments: of the pipeline.
    """

    server: PipelineServer
    compiled: Path
    arguments: Callable[[], Mapping[str, Any]]

    def train(self, run: str, lock: int) -> Mapping[str, Any]:
        """Submit it, or say how it is doing.

        Raises:
            GateFailed: it failed; which step says why.
            UnavailableError: the server does not answer.
        """
        name = _named(run)
        known = self.server.find(name)
        if known is None:
            made = self.server.submit(self.compiled, self.arguments(), experiment=_EXPERIMENT, name=name)
            return {"state": "submitted", "run_id": made.run_id, "url": made.url}
        status = self.server.status(known)
        if status.state in ("FAILED", "CANCELED"):
            failed = [f"{task.name}: {task.error}".rstrip(": ") for task in status.tasks if task.state == "FAILED"]
            what = ", ".join(failed) or status.error  # a group fails with its task, and a server may give no reason
            raise GateFailed(f"Run {status.run_id} {status.state.lower()}: {what}", f"Read {status.url}.")
        state = "trained" if status.state == "SUCCEEDED" else "submitted"
        return {"state": state, "run_id": status.run_id, "url": status.url}

    def holds(self, run: str) -> bool:
        """Whether the server has it: it was submitted with the data and parameters that it is named by.

        Raises:
            UnavailableError: the server does not answer.
        """
        return self.server.find(_named(run)) is not None


def _named(run: str) -> str:
    return f"fraudline-retrain-{run}"
