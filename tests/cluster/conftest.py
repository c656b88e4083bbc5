"""A real API server with KServe's controller, once a session, and emptied for each test that wants it so."""

from collections.abc import Iterator

import pytest

from tests.cluster.binaries import need_go
from tests.cluster.control_plane import ControlPlane
from tests.cluster.definitions import definitions
from tests.cluster.kserve_controller import KServe

_UNPROTECTED = '{"metadata": {"finalizers": null}}'


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """The API server with all definitions that can be had, and KServe."""
    need_go()
    with ControlPlane(tmp_path_factory.mktemp("cluster")) as control_plane:
        made = definitions()
        control_plane.apply(made)
        names = [f"crd/{document['metadata']['name']}" for document in made]
        control_plane.kubectl("wait", "--for=condition=Established", "--timeout=300s", *names)
        with KServe(control_plane) as kserve:
            yield control_plane
            print(kserve.log_tail())  # noqa: T201 - shown with a failure


@pytest.fixture
def fresh(cluster: ControlPlane) -> ControlPlane:
    """A cluster without what cannot be changed: the mode of a service, the access to a claim."""
    if cluster.get("namespace", "fraudline"):
        cluster.kubectl("delete", "inferenceservice", "--all", "-n", "fraudline")
        cluster.kubectl("delete", "deployments,hpa", "--all", "-n", "fraudline")
        for claim in cluster.names("pvc"):  # nobody here protects a claim that is in use
            cluster.kubectl("patch", "pvc", claim, "-n", "fraudline", "--type=merge", "-p", _UNPROTECTED)
        cluster.kubectl("delete", "pvc", "--all", "-n", "fraudline")
    return cluster
