"""The YAML of the predictor: what it renders to, and that it fits the server it starts."""

from typing import Any

import pytest
import yaml

from fraudline.serve.main import _parser
from tests.support.kustomize import MANIFESTS, build


@pytest.fixture(scope="module")
def rendered() -> dict[str, Any]:
    documents = yaml.safe_load_all(build(MANIFESTS / "base"))
    return {document["kind"]: document for document in documents}


def test_the_service_names_the_runtime_its_format_and_an_immutable_model(rendered: dict[str, Any]) -> None:
    service = rendered["InferenceService"]
    assert service["apiVersion"] == "serving.kserve.io/v1beta1"
    assert service["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Standard"
    assert "canaryTrafficPercent" not in service["spec"]["predictor"]  # ignored in the mode Standard
    model = service["spec"]["predictor"]["model"]
    runtime = rendered["ServingRuntime"]
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["modelFormat"]["name"] in {item["name"] for item in runtime["spec"]["supportedModelFormats"]}
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]
    (digest,) = [a.removeprefix("--expected_digest=") for a in model["args"] if a.startswith("--expected_digest=")]
    assert len(digest) == 64
    assert model["storageUri"].endswith(digest)


def test_the_container_starts_our_server_with_arguments_that_it_knows(rendered: dict[str, Any]) -> None:
    (container,) = rendered["ServingRuntime"]["spec"]["containers"]
    assert container["name"] == "kserve-container"
    assert container["command"] == ["python", "-m", "fraudline.serve"]
    given = [*container["args"], *rendered["InferenceService"]["spec"]["predictor"]["model"]["args"]]
    options = _parser().parse_args(given)
    assert options.model_dir == "/mnt/models"
    assert options.http_port == container["ports"][0]["containerPort"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] == options.http_port


def test_the_container_is_bounded_and_has_no_rights_to_spare(rendered: dict[str, Any]) -> None:
    (container,) = rendered["ServingRuntime"]["spec"]["containers"]
    rights = container["securityContext"]
    assert rights["runAsNonRoot"] is True
    assert rights["allowPrivilegeEscalation"] is False
    assert rights["readOnlyRootFilesystem"] is True
    assert rights["capabilities"] == {"drop": ["ALL"]}
    assert {"cpu", "memory"} <= set(container["resources"]["limits"])
    assert container["resources"]["requests"]
