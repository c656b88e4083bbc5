"""The signs that ask for a renewal: data, parameters, champion, and what a report or Prometheus says of them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from fraudline.core.digest import sha256_bytes
from fraudline.core.errors import StateError
from fraudline.core.files import local_path, read_json
from fraudline.data.store import read_meta
from fraudline.model.artifact import load_artifact
from fraudline.monitor.renewal import Signs
from fraudline.ops.gitops.observe import Prometheus
from fraudline.steps.dvc_files import parse_dvc_file, read_dvc_file
from fraudline.steps.params import Params

DRIFT, WORSE = "Drift", "PerformanceWorse"
UNMEASURED = ("DriftNotMeasured", "DriftNeverMeasured")
FIRING = f'ALERTS{{alertstate="firing",alertname=~"{"|".join((DRIFT, WORSE, *UNMEASURED))}"}}'
"""What Prometheus is asked: the alerts (`docs.monitoring`) that ask for a run, and the one that says nobody looked."""
_NAME_REPORT = "Name the folder of `fraudline drift`."
_TRAINING = ("seed", "label_delay_days", "features", "split", "train", "threshold")


def look(*, params: Params, data_dvc: Path, drift: Path | None = None, prometheus: str = "") -> Signs:
    """The signs in a working tree.

    Args:
        params: ``champion`` names the model that decides.
        data_dvc: the data set's ``.dvc`` file; the set beside it is counted where it is there.
        drift: report folder of step drift, with performance where labels were given; None for none.
        prometheus: address of a Prometheus whose alerts are signs; "" for none.

    Raises:
        UsageError: the ``.dvc`` file cannot be read.
        StateError: the report cannot be read, or is of another model than the champion.
        UnavailableError: Prometheus does not answer.
    """
    tracked = parse_dvc_file(read_dvc_file(data_dvc), str(data_dvc))
    dataset = data_dvc.parent / tracked.path
    champion, trained_on = "", ""
    if params.champion:
        champion = Path(local_path(params.champion)).name
        entry = local_path(params.champion)
        trained_on = load_artifact(entry).meta.data_md5 if entry.is_dir() else ""
    alerts = Prometheus(prometheus).labels(FIRING) if prometheus else []
    drifted, worse = map(_both, zip(_report(drift, champion), _signs_of(alerts), strict=True))
    watched = bool(prometheus) and not any(each["alertname"] in UNMEASURED for each in alerts)
    return Signs(
        data=tracked.md5,
        params=_version(params),
        champion=champion[:12],
        trained_on=trained_on,
        frauds=int(read_meta(dataset)["frauds"]) if dataset.is_dir() else -1,
        measured=drift is not None or watched,
        drifted=drifted,
        worse=worse,
    )


def _version(params: Params) -> str:
    """A digest of what a training depends on.

    What stands at its default is left out: a release that adds a parameter gives no run another name.
    """
    said = params.model_dump(mode="json", include=set(_TRAINING), exclude_defaults=True)
    return sha256_bytes(json.dumps(said, sort_keys=True).encode())[:12]


def _both(names: tuple[tuple[str, ...], tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for part in names for name in part))


def _signs_of(alerts: Sequence[Mapping[str, str]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What drifted and which figures fell, as the alerts say that fire now."""
    drifted = {f"alert {each['alertname']}" for each in alerts if each["alertname"] == DRIFT}
    worse = {each.get("figure", "a figure") for each in alerts if each["alertname"] == WORSE}
    return tuple(sorted(drifted)), tuple(sorted(worse))


def _report(folder: Path | None, champion: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What drifted, and which figures fell."""
    if folder is None:
        return (), ()
    path = folder / "drift.json"
    try:
        document = read_json(path, wrong=StateError, action=_NAME_REPORT)
        model = document["model"]["digest"]
        names = [figure["name"] for figure in document["figures"] if figure["drifted"]]
        if document["classifier"].get("drifted"):
            names.append("several features together")
        figures = document["performance"].get("figures", {})
    except (OSError, KeyError, TypeError, AttributeError) as error:
        raise StateError(f"{path} is no report of drift: {error}.", _NAME_REPORT) from error
    if champion and model != champion:
        raise StateError(
            f"{path} is about the model {model[:12]}, but {champion[:12]} is champion.",
            "Run `fraudline drift` on the champion's decisions.",
        )
    return tuple(names), tuple(name for name, each in figures.items() if each["worse"])
