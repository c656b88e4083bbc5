"""The manifests as an installation would apply them."""

import pytest

from tests.support.kustomize import OVERLAYS, overlay


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_overlay_renders(name: str) -> None:
    assert {document["kind"] for document in overlay(name)} >= {"InferenceService", "ServingRuntime"}
