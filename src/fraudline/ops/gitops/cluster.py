"""A cluster without a GitOps controller: what the target branch serves, applied by kubectl on the server's side.

Server-side apply owns its fields, so a canary that a commit drops is dropped in the cluster.
"""

import subprocess
from pathlib import Path

from fraudline.core.errors import UnavailableError

FIELD_MANAGER = "fraudline"
_TIMEOUT_S = 120


def apply(folder: Path, *, context: str = "", dry_run: bool = False) -> str:
    """Apply a kustomize folder.

    Args:
        folder: an overlay.
        context: of kubectl's configuration; empty for the present one.
        dry_run: let the server check it and change nothing.

    Returns:
        What kubectl said, one line a resource.

    Raises:
        UnavailableError: kubectl is missing, the cluster does not answer or refuses.
    """
    command = ["kubectl", *(["--context", context] if context else []), "apply", "--server-side"]
    command += [f"--field-manager={FIELD_MANAGER}", *(["--dry-run=server"] if dry_run else []), "-k", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines() or [f"exit code {error.returncode}"]
        first = next((line for line in said if line.lower().startswith("error")), said[-1])
        raise UnavailableError(f"kubectl refused: {first}", "Correct what it names, then apply again.") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"kubectl cannot be run: {error}.", "Install kubectl, and give it a cluster.") from error
    return done.stdout
