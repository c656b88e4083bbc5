"""The training pipeline: from a versioned data set to a registered challenger.

``python -m pipelines.training`` compiles it to ``training.yaml``, and to the resources of ``training.resources.yaml``;
a contract test fails when a file is stale.
"""

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from kfp import compiler, dsl, kubernetes

from components.accept.component import accept
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
DATA_ENV = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"),
    *("GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_0", "GIT_CONFIG_VALUE_0"),
    *("AWS_CA_BUNDLE", "GIT_SSL_CAINFO", "AWS_MAX_ATTEMPTS"),
)
"""Keys of the secret that fetch, and validate for the previous version, see as variables: credentials of an S3 remote
of dvc, and one setting of Git that gives those of the repository. All are optional: a public repository with a remote
inside needs none. The last three are files of an authority of one's own, which Kubeflow Pipelines mounts, and how often
a store that does not answer is asked."""

SERVICES_SECRET = "fraudline-services"  # noqa: S105 - a name
SERVICES_ENV = (
    *("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"),
    *("REQUESTS_CA_BUNDLE", "FRAUDLINE_PUSHGATEWAY"),
)
"""Keys of the optional secret that every step sees as variables: who it is for MLflow, by which authority it knows the
server, and where its metrics go."""

STORE_CLAIM, STORE = "fraudline-models", "/mnt/store"
"""The volume that keeps artifacts, the one that InferenceServices load from."""


PROMOTION_SECRET, PROMOTION = "fraudline-promotion", "/etc/fraudline"
"""What a promotion needs: ``promotion.key`` as a file, and ``token`` of the forge as a variable."""


class Size(NamedTuple):
    """What a task asks of a node, requests and limits, and the hours after which its pod is ended.

    A schedule starts no run while another goes on: one task that hangs would end all renewal.
    """

    cpu: str
    cpu_limit: str
    memory: str
    memory_limit: str
    hours: int


SMALL = Size("250m", "1", "512Mi", "2Gi", hours=1)
MEDIUM = Size("1", "2", "2Gi", "8Gi", hours=6)
LARGE = Size("2", "4", "4Gi", "16Gi", hours=24)


def placed(task: dsl.PipelineTask, size: Size) -> dsl.PipelineTask:
    """Give a task its requests and limits, its time, the images' user, and the services that steps report to."""
    variables(task, SERVICES_SECRET, SERVICES_ENV)
    kubernetes.set_timeout(task, size.hours * 3600)
    kubernetes.set_security_context(task, run_as_user=USER, run_as_group=USER, run_as_non_root=True)
    task.set_cpu_request(size.cpu).set_cpu_limit(size.cpu_limit)
    return task.set_memory_request(size.memory).set_memory_limit(size.memory_limit)


def variables(task: dsl.PipelineTask, secret: str, keys: Sequence[str]) -> None:
    """Show a task those keys of a secret that are there, as variables of the same names."""
    kubernetes.use_secret_as_env(task, secret_name=secret, secret_key_to_env={key: key for key in keys}, optional=True)


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
    store: str = STORE,
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
        store: folder of the artifact store; on a cluster the volume mounted at ``/mnt/store``, or a folder below it:
            what lies elsewhere is lost with the pod.
        promote_to: environment that the model is proposed for by a pull request; empty for none.
    """
    ended = side_effect(report_status(params=params))
    with dsl.ExitHandler(placed(ended, SMALL), name="training"):
        fetched = fetch(params=params, data_dvc=data_dvc, repo=repo, revision=revision, md5=md5)
        placed(side_effect(fetched), SMALL)
        variables(fetched, DATA_SECRET, DATA_ENV)
        dataset = fetched.outputs["dataset"]
        common = {"params": params, "data_md5": fetched.outputs["Output"]}
        validated = placed(validate(dataset=dataset, **common), MEDIUM)
        variables(validated, DATA_SECRET, DATA_ENV)  # it fetches validation.previous
        valid = placed(accept(refusal=validated.outputs["Output"]).set_display_name("data accepted"), SMALL)
        made = placed(featurize(dataset=dataset, **common).after(valid), MEDIUM)
        features = made.outputs["features"]
        trained = placed(train(features=features, dataset=dataset, **common), LARGE)
        model = trained.outputs["model"]
        evaluated = placed(evaluate(features=features, dataset=dataset, model=model, **common), MEDIUM)
        evaluation = evaluated.outputs["evaluation"]
        blessed = placed(gate(evaluation=evaluation, model=model, **common), SMALL)
        good = placed(accept(refusal=blessed.outputs["Output"]).set_display_name("model blessed"), SMALL)
        served = placed(infra_validate(model=model, **common).after(good), MEDIUM)
        packed = placed(
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
        placed(side_effect(registered), SMALL)
        with dsl.If(promote_to != "", name="promotion"):
            proposed = promote(
                package=packed.outputs["package"],
                registration=registered.outputs["registration"],
                params=params,
                to=promote_to,
                key=f"{PROMOTION}/promotion.key",
            )
            placed(side_effect(proposed), SMALL)
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
        placed(side_effect(summed), SMALL)


def compile_to(path: Path) -> None:
    """Write the compiled pipeline; the same source gives the same bytes."""
    compiler.Compiler().compile(training, package_path=str(path))


def manifest_to(path: Path) -> None:
    """Write the compiled pipeline as the resources of pipelines.kubeflow.org/v2beta1.

    The server takes no change of a version: each content is a version of its own, named by its digest.
    """
    with tempfile.TemporaryDirectory() as folder:
        content = Path(folder, GOLDEN.name)
        compile_to(content)
        digest = hashlib.sha256(content.read_bytes()).hexdigest()[:12]
    options = compiler.KubernetesManifestOptions(
        pipeline_name=training.name,
        pipeline_version_name=f"{training.name}-{VERSION}-{digest}",
        include_pipeline_manifest=True,
    )
    compiler.Compiler().compile(
        training, package_path=str(path), kubernetes_manifest_format=True, kubernetes_manifest_options=options
    )


if __name__ == "__main__":
    compile_to(GOLDEN)
    manifest_to(MANIFEST)
