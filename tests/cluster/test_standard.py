"""Overlay ``standard`` on a real API server with KServe's controller: what its webhooks take, what it makes of it."""

from tests.cluster.control_plane import ControlPlane, eventually
from tests.cluster.definitions import known
from tests.support.kustomize import overlay


def test_the_predictor_becomes_a_deployment_a_service_and_an_autoscaler(cluster: ControlPlane) -> None:
    cluster.apply([document for document in overlay("standard") if known(document)])
    deployment = eventually(lambda: cluster.get("deployment", "fraud-m000000000-predictor"))
    assert deployment["spec"]["template"]["spec"]["serviceAccountName"] == "fraudline-predictor"
