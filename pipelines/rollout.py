"""The rollout pipeline: one look of the judge, run every few minutes by a schedule.

``python -m pipelines.rollout`` compiles it to ``rollout.yaml``; a contract test fails when the file is stale.
"""

from pathlib import Path

from kfp import compiler, dsl, kubernetes

from components.rollout.component import rollout as look
from pipelines.training import SMALL, STORE, STORE_CLAIM, forge_access, placed, side_effect

GOLDEN = Path(__file__).with_name("rollout.yaml")


@dsl.pipeline(name="fraudline-rollout", description="Judge the canary, and propose the next step or its revert.")
def rollout(
    params: dict = {},  # noqa: B006 - kfp reads the default at compile time
    to: str = "production",
    prometheus: str = "http://prometheus-operated.monitoring:9090",
    key: str = "/etc/fraudline/promotion.key",
) -> None:
    """One step at most.

    Args:
        params: the content of ``params.yaml``; ``rollout`` names the forge and has the judge's margins.
        to: environment.
        prometheus: address of the Prometheus that scrapes the predictors.
        key: file of the private key, from the secret ``fraudline-promotion``.
    """
    task = look(params=params, to=to, prometheus=prometheus, key=key)
    placed(side_effect(task), SMALL)
    forge_access(task)
    kubernetes.mount_pvc(task, pvc_name=STORE_CLAIM, mount_path=STORE)


def compile_to(path: Path) -> None:
    """Write the compiled pipeline; the same source gives the same bytes."""
    compiler.Compiler().compile(rollout, package_path=str(path))


if __name__ == "__main__":
    compile_to(GOLDEN)
