"""The training pipeline: from a versioned data set to a registered challenger.

``python -m pipelines.training`` compiles it to ``training.yaml``, and to the resources of ``training.resources.yaml``;
a contract test fails when a file is stale.
"""

from pathlib import Path
from typing import NamedTuple

from kfp import compiler, dsl, kubernetes

from components.evaluate.component import evaluate
from components.featurize.component import featurize
from components.fetch.component import fetch
from components.gate.component import gate
from components.image import VERSION
from components.infra_validate.component import infra_validate
from components.package.component import package
from components.promote.component import promote
from components.register.component import register
from components.report_cost.component import report_cost
from components.report_status.component import report_status
from components.train.component import train
from components.validate.component import validate

GOLDEN = Path(__file__).with_name("training.yaml")
MANIFEST = Path(__file__).with_name("training.resources.yaml")
"""The same as Pipeline and PipelineVersion resources, for a cluster that keeps its pipelines in Git."""

USER = 1000
"""The images' user: a restricted namespace admits no root."""

DATA_SECRET = "fraudline-data"  # noqa: S105 - a name
DATA_ENV = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION")
"""Keys of the secret that the step fetch sees as variables: credentials of an S3 remote of dvc. The secret is optional:
a remote inside the repository needs none."""

STORE_CLAIM, STORE = "fraudline-models", "/mnt/store"
"""The volume that keeps artifacts, the one that InferenceServices load from."""


PROMOTION_SECRET, PROMOTION = "fraudline-promotion", "/etc/fraudline"  # noqa: S105 - a name
"""What a promotion needs: ``promotion.key`` as a file, and ``token`` of the forge as a variable."""


class Size(NamedTuple):
    """What a task asks of a node: requests and limits."""

    cpu: str
    cpu_limit: str
    memory: str
    memory_limit: str


SMALL = Size("250m", "1", "512Mi", "2Gi")
MEDIUM = Size("1", "2", "2Gi", "8Gi")
LARGE = Size("2", "4", "4Gi", "16Gi")


def sized(task: dsl.PipelineTask, size: Size) -> dsl.PipelineTask:
    """Give a task its requests and limits, and the images' user."""
    kubernetes.set_security_context(task, run_as_user=USER, run_as_group=USER, run_as_non_root=True)
    task.set_cpu_request(size.cpu).set_cpu_limit(size.cpu_limit)
    return task.set_memory_request(size.memory).set_memory_limit(size.memory_limit)


def side_effect(task: dsl.PipelineTask) -> dsl.PipelineTask:
    """A task that talks to the outside: never answered from the cache, tried again when the other side is away."""
    task.set_caching_options(enable_caching=False)
    return task.set_retry(num_retries=2, backoff_duration="30s", backoff_factor=2.0, backoff_max_duration="300s")


def forge_access(task: dsl.PipelineTask) -> dsl.PipelineTask:
    """Give a task the key that signs and the token that opens pull requests."""
    kubernetes.use_secret_as_volume(task, secret_name=PROMOTION_SECRET, mount_path=PROMOTION, optional=True)
    keys = {"token": "FRAUDLINE_FORGE_TOKEN"}
    kubernetes.use_secret_as_env(task, secret_name=PROMOTION_SECRET, secret_key_to_env=keys, optional=True)
    return task


@dsl.pipeline(
    name="fraudline-training",
    description="Fetch, validate, featurize, train, evaluate, gate, infra-validate, package, register and promote.",
)
def training(
    params: dict = {},  # noqa: B006 - kfp reads the default at compile time
    data_dvc: str = "data.dvc",
    repo: str = ".",
    revision: str = "",
    md5: str = "",
    store: str = "artifacts",
    promote_to: str = "",
) -> None:
    """Train, judge, register, and where that is asked for promote.

    Args:
        params: the content of ``params.yaml``, which ``fraudline pipeline`` passes; what is absent has its default.
            The compiled file holds none of it, so that promoting a champion does not make the file stale.
        data_dvc: path of the .dvc file inside ``repo``.
        repo: path or address of the Git repository that tracks the data.
        revision: Git revision of the data; empty means the workspace.
        md5: the md5 that the data must have; empty means what the .dvc file says.
        store: folder of the artifact store; on a cluster, below the volume mounted at ``/mnt/store``.
        promote_to: environment that the model is proposed for by a pull request; empty for none.
    """
    ended = report_status(params=params)
    ended.set_caching_options(enable_caching=False)
    with dsl.ExitHandler(sized(ended, SMALL), name="training"):
        fetched = fetch(params=params, data_dvc=data_dvc, repo=repo, revision=revision, md5=md5)
        sized(side_effect(fetched), SMALL)
        kubernetes.use_secret_as_env(
            fetched, secret_name=DATA_SECRET, secret_key_to_env={name: name for name in DATA_ENV}, optional=True
        )
        dataset = fetched.outputs["dataset"]
        common = {"params": params, "data_md5": fetched.outputs["Output"]}
        validated = sized(validate(dataset=dataset, **common), MEDIUM)
        made = sized(featurize(dataset=dataset, **common).after(validated), MEDIUM)
        features = made.outputs["features"]
        trained = sized(train(features=features, dataset=dataset, **common), LARGE)
        model = trained.outputs["model"]
        evaluated = sized(evaluate(features=features, model=model, **common), MEDIUM)
        evaluation = evaluated.outputs["evaluation"]
        blessed = sized(gate(evaluation=evaluation, model=model, **common), SMALL)
        served = sized(infra_validate(model=model, **common).after(blessed), MEDIUM)
        packed = sized(
            package(
                model=model,
                evaluation=evaluation,
                blessing=blessed.outputs["blessing"],
                infra=served.outputs["report"],
                store=store,
                **common,
            ),
            SMALL,
        )
        packed.set_caching_options(enable_caching=False)
        kubernetes.mount_pvc(packed, pvc_name=STORE_CLAIM, mount_path=STORE)
        registered = register(package=packed.outputs["package"], evaluation=evaluation, **common)
        sized(side_effect(registered), SMALL)
        with dsl.If(promote_to != "", name="promotion"):
            proposed = promote(
                package=packed.outputs["package"],
                registration=registered.outputs["registration"],
                params=params,
                to=promote_to,
                key=f"{PROMOTION}/promotion.key",
            )
            sized(side_effect(proposed), SMALL)
            forge_access(proposed)
            kubernetes.mount_pvc(proposed, pvc_name=STORE_CLAIM, mount_path=STORE)
        summed = report_cost(
            model=model,
            fetch=fetched.outputs["cost"],
            validate=validated.outputs["cost"],
            featurize=made.outputs["cost"],
            train=trained.outputs["cost"],
            evaluate=evaluated.outputs["cost"],
            gate=blessed.outputs["cost"],
            infra_validate=served.outputs["cost"],
            package=packed.outputs["cost"],
            register=registered.outputs["cost"],
            params=params,
        )
        sized(side_effect(summed), SMALL)


def compile_to(path: Path) -> None:
    """Write the compiled pipeline; the same source gives the same bytes."""
    compiler.Compiler().compile(training, package_path=str(path))


def manifest_to(path: Path) -> None:
    """Write the compiled pipeline as the resources of pipelines.kubeflow.org/v2beta1."""
    options = compiler.KubernetesManifestOptions(
        pipeline_name=training.name, pipeline_version_name=f"{training.name}-{VERSION}", include_pipeline_manifest=True
    )
    compiler.Compiler().compile(
        training, package_path=str(path), kubernetes_manifest_format=True, kubernetes_manifest_options=options
    )


if __name__ == "__main__":
    compile_to(GOLDEN)
    manifest_to(MANIFEST)
