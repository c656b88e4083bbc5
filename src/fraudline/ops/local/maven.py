"""Java libraries that a build file names, fetched by Maven once and kept in a folder."""

import shutil
import subprocess
from pathlib import Path

from fraudline.core.errors import UnavailableError
from fraudline.core.files import atomic_folder, locked

_TIMEOUT_S = 600


def fetch_libraries(pom: bytes, folder: Path, what: str, *, instead: str = "") -> None:
    """Fill a folder with the jars of a ``pom.xml`` where it is not there; it is there whole, or not at all.

    Several that ask at once fetch them once: Maven's own repository is not made for two that write it.

    Args:
        pom: the build file.
        folder: where they go, beside ``pom.xml``.
        what: whose they are, for errors.
        instead: what else than to install Maven is possible, for errors.

    Raises:
        UnavailableError: there is no Maven, or it could not fetch them.
    """
    if folder.is_dir():
        return
    if shutil.which("mvn") is None:
        action = f"Install Maven, or {instead}." if instead else "Install Maven."
        raise UnavailableError(f"{what}'s jars are not cached and there is no mvn.", action)
    with locked(folder):
        if not folder.is_dir():
            _fetch(pom, folder, what)


def _fetch(pom: bytes, folder: Path, what: str) -> None:
    with atomic_folder(folder) as made:
        (made / "pom.xml").write_bytes(pom)
        command = ["mvn", "-q", "-B", "-f", str(made / "pom.xml"), "dependency:copy-dependencies"]
        command.append(f"-DoutputDirectory={made}")
        try:
            answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise UnavailableError(f"Maven did not fetch {what}'s jars in time.", "Check the network.") from error
        if answer.returncode != 0:
            tail = "\n".join((answer.stdout + answer.stderr).splitlines()[-10:])
            raise UnavailableError(
                f"Maven could not fetch {what}'s jars:\n{tail}", "Check the network, or Maven's mirror."
            )
