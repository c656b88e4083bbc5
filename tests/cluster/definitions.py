"""Definitions of custom resources, from the folders of the Go modules of those who make them.

Knative's Kafka extension and Strimzi publish no Go module with theirs. Strimzi's kinds are read by its own classes
(``test_strimzi``); those of the extension are only checked against the fields that the tests of the manifests keep.
"""

import hashlib
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from fraudline.core.files import atomic_folder
from tests.cluster.binaries import module_folder
from tests.support.broker import CACHE


class Source(NamedTuple):
    """Files of a module: a pattern below its folder."""

    module: str
    version: str
    pattern: str


KSERVE = ("github.com/kserve/kserve", "v0.20.0")
KEDA = ("github.com/kedacore/keda/v2", "v2.18.0")
_KUBEFLOW = ("github.com/kubeflow/pipelines", "v0.0.0-20231208180049-c5658f09ec38")
_PROMETHEUS = ("github.com/prometheus-operator/prometheus-operator", "v0.84.0")
_SECRETS = ("github.com/external-secrets/external-secrets", "v0.20.4")
SOURCES = (
    Source(*KSERVE, "config/crd/full/*.yaml"),
    Source(*KSERVE, "config/crd/full/clusterstoragecontainer/*.yaml"),
    Source("knative.dev/serving", "v0.48.1", "config/core/300-resources/service.yaml"),
    Source("knative.dev/eventing", "v0.48.2", "config/core/resources/[bt]r*er.yaml"),
    Source("sigs.k8s.io/gateway-api", "v1.5.1", "config/crd/standard/*_gateways.yaml"),
    Source("sigs.k8s.io/gateway-api", "v1.5.1", "config/crd/standard/*_httproutes.yaml"),
    Source(*KEDA, "config/crd/bases/keda.sh_scaledobjects.yaml"),
    Source(*KEDA, "config/crd/bases/keda.sh_scaledjobs.yaml"),
    Source(*KEDA, "config/crd/bases/keda.sh_triggerauthentications.yaml"),
    Source(*_PROMETHEUS, "example/prometheus-operator-crd/*_podmonitors.yaml"),
    Source(*_PROMETHEUS, "example/prometheus-operator-crd/*_servicemonitors.yaml"),
    Source(*_PROMETHEUS, "example/prometheus-operator-crd/*_prometheusrules.yaml"),
    Source(*_SECRETS, "config/crds/bases/*_externalsecrets.yaml"),
    Source(*_SECRETS, "config/crds/bases/*_secretstores.yaml"),
    Source("github.com/argoproj/argo-cd/v3", "v3.1.8", "manifests/crds/application*-crd.yaml"),
    Source(*_KUBEFLOW, "manifests/kustomize/third-party/argo/upstream/manifests/base/crds/minimal/*_workflows.yaml"),
    Source(*_KUBEFLOW, "manifests/kustomize/base/pipeline/cluster-scoped/scheduled-workflow-crd.yaml"),
)
NOT_TO_BE_HAD = frozenset(
    {
        ("sources.knative.dev", "KafkaSource"),
        ("eventing.knative.dev", "KafkaSink"),
        ("kafka.strimzi.io", "Kafka"),
        ("kafka.strimzi.io", "KafkaNodePool"),
        ("kafka.strimzi.io", "KafkaTopic"),
        ("kafka.strimzi.io", "KafkaUser"),
    }
)
"""Kinds (API group, kind) that the cluster of the tests does not know."""


class _Loader(yaml.CSafeLoader):
    """An equals sign alone is text, as it is to Kubernetes."""


_Loader.add_constructor("tag:yaml.org,2002:value", _Loader.construct_yaml_str)


def definitions() -> list[dict[str, Any]]:
    """All of them, without conversion webhooks, which nobody here would answer.

    Raises:
        UnavailableError: a module cannot be had.
    """
    folder = _cached()
    found = []
    for path in sorted(folder.glob("*.yaml")):
        for document in yaml.load_all(path.read_text(), Loader=_Loader):
            if document and document.get("kind") == "CustomResourceDefinition":
                document["spec"].pop("conversion", None)
                document.pop("status", None)
                found.append(document)
    return found


def known(document: dict[str, Any]) -> bool:
    """Whether the cluster of the tests has the kind of a document."""
    return (document["apiVersion"].rpartition("/")[0], document["kind"]) not in NOT_TO_BE_HAD


def _cached() -> Path:
    folder = CACHE.resolve() / "cluster" / f"definitions-{hashlib.sha256(repr(SOURCES).encode()).hexdigest()[:16]}"
    if not folder.is_dir():
        with atomic_folder(folder) as made:
            for number, source in enumerate(SOURCES):
                paths = sorted(module_folder(source.module, source.version).glob(source.pattern))
                assert paths, source
                for path in paths:
                    shutil.copyfile(path, made / f"{number:02d}-{path.name}")
    return folder
