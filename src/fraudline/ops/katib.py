"""The search space as a Katib experiment: what ``fraudline tune`` does on one machine, as trials of a cluster.

    print(manifest(load_space(), trials=40))

A trial is a Job of the pipeline image: it fetches and featurizes the data, then measures one point and prints
``validation_ap=...``, which Katib's standard-output collector reads. Where the data is comes from the ConfigMap
``fraudline-data`` (keys ``repo`` and ``revision``), params.yaml from the optional ConfigMap ``fraudline-params``.
"""

import re
from typing import Any

import yaml

from fraudline import __version__
from fraudline.model.search import OBJECTIVE, SearchParameter, SearchSpace

IMAGE = f"fraudline/pipeline:{__version__}-python3.11"
"""The image that every component of the pipeline runs in."""

NAME = "fraudline-tune"
_WORK = "/work"
_PRIMARY = "trial"
_PARALLEL = 4
"""Trials at a time."""
_RESOURCES = {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"cpu": "2", "memory": "4Gi"}}
_HARDENED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def manifest(space: SearchSpace, *, trials: int) -> str:
    """The experiment as YAML.

    Args:
        space: what is tried.
        trials: at most.
    """
    head = "# Made by `fraudline tune --katib` from the search space of the same release: do not edit.\n"
    return head + yaml.dump(_experiment(space, trials), Dumper=_Plain, sort_keys=False, width=120)


class _Plain(yaml.SafeDumper):
    """Writes every object out: a reader of Kubernetes files expects no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        """Always."""
        return True


def _experiment(space: SearchSpace, trials: int) -> dict[str, Any]:
    return {
        "apiVersion": "kubeflow.org/v1beta1",
        "kind": "Experiment",
        "metadata": {"name": NAME, "labels": {"app.kubernetes.io/name": "fraudline"}},
        "spec": {
            "objective": {"type": "maximize", "objectiveMetricName": OBJECTIVE},
            "algorithm": {"algorithmName": "tpe"},
            "maxTrialCount": trials,
            "parallelTrialCount": min(_PARALLEL, trials),
            "maxFailedTrialCount": min(3, trials),
            "metricsCollectorSpec": {"collector": {"kind": "StdOut"}},
            "parameters": [_parameter(parameter) for parameter in space.parameters],
            "trialTemplate": {
                "primaryContainerName": _PRIMARY,
                "trialParameters": [
                    {"name": _camel(p.name), "description": p.name, "reference": _dashed(p.name)}
                    for p in space.parameters
                ],
                "trialSpec": _job(space),
            },
        },
    }


def _parameter(parameter: SearchParameter) -> dict[str, Any]:
    if parameter.kind == "choice":
        texts = [str(v) if isinstance(v, str) else c for v, c in zip(parameter.values, parameter.choices, strict=True)]
        return {
            "name": _dashed(parameter.name),
            "parameterType": "categorical",
            "feasibleSpace": {"list": texts},
        }
    whole = parameter.kind == "int"
    feasible = {"min": _number(parameter.low, whole), "max": _number(parameter.high, whole)}
    if whole:
        feasible["step"] = str(parameter.step)
    if parameter.log:
        feasible["distribution"] = "logUniform"
    kind = "int" if whole else "double"
    return {"name": _dashed(parameter.name), "parameterType": kind, "feasibleSpace": feasible}


def _job(space: SearchSpace) -> dict[str, Any]:
    """The trial: two steps of the pipeline to make the features, then one point measured."""
    dataset, features = f"{_WORK}/dataset", f"{_WORK}/features"
    fetch = ["step", "fetch", "--data-dvc=data.dvc", f"--dataset={dataset}", "--repo=$(REPO)", "--revision=$(REVISION)"]
    featurize = ["step", "featurize", f"--dataset={dataset}", f"--features={features}", f"--profiles={_WORK}/profiles"]
    point = [f"--set={p.name}=${{trialParameters.{_camel(p.name)}}}" for p in space.parameters]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "spec": {
            "backoffLimit": 1,
            "template": {
                # a proxy beside the trial would run on after it, and the job never end
                "metadata": {"labels": {"sidecar.istio.io/inject": "false"}},
                "spec": {
                    "restartPolicy": "Never",
                    "initContainers": [
                        _container("fetch", fetch, env=[_from_config("REPO"), _from_config("REVISION")]),
                        _container("featurize", featurize),
                    ],
                    "containers": [_container(_PRIMARY, ["tune", f"--features={features}", *point])],
                    "volumes": [
                        {"name": "work", "emptyDir": {}},
                        {"name": "params", "configMap": {"name": "fraudline-params", "optional": True}},
                    ],
                },
            },
        },
    }


def _container(name: str, arguments: list[str], *, env: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "image": IMAGE,
        "command": ["fraudline", *arguments],
        "workingDir": "/params",
        "env": [*(env or []), {"name": "FRAUDLINE_CACHE", "value": f"{_WORK}/cache"}],
        "resources": _RESOURCES,
        "securityContext": _HARDENED,
        "volumeMounts": [{"name": "work", "mountPath": _WORK}, {"name": "params", "mountPath": "/params"}],
    }


def _from_config(name: str) -> dict[str, Any]:
    source = {"configMapKeyRef": {"name": "fraudline-data", "key": name.lower()}}
    return {"name": name, "valueFrom": source}


def _dashed(name: str) -> str:
    return re.sub(r"[._]", "-", name)


def _camel(name: str) -> str:
    first, *rest = re.split(r"[._]", name)
    return first + "".join(word.capitalize() for word in rest)


def _number(value: float | None, whole: bool) -> str:
    return str(int(value or 0)) if whole else f"{value:g}"
