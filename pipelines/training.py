"""The training pipeline: from a versioned data set to a registered challenger.

``python -m pipelines.training`` compiles it to ``training.yaml``; a contract test fails when that file is stale.
"""

from pathlib import Path
from typing import NamedTuple

from kfp import compiler, dsl

from components.evaluate.component import evaluate
from components.featurize.component import featurize
from components.fetch.component import fetch
from components.gate.component import gate
from components.infra_validate.component import infra_validate
from components.package.component import package
from components.register.component import register
from components.report_status.component import report_status
from components.train.component import train
from components.validate.component import validate

GOLDEN = Path(__file__).with_name("training.yaml")


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
    """Give a task its requests and limits."""
    task.set_cpu_request(size.cpu).set_cpu_limit(size.cpu_limit)
    return task.set_memory_request(size.memory).set_memory_limit(size.memory_limit)


def side_effect(task: dsl.PipelineTask) -> dsl.PipelineTask:
    """A task that talks to the outside: never answered from the cache, tried again when the other side is away."""
    task.set_caching_options(enable_caching=False)
    return task.set_retry(num_retries=2, backoff_duration="30s", backoff_factor=2.0, backoff_max_duration="300s")


@dsl.pipeline(
    name="fraudline-training",
    description="Fetch, validate, featurize, train, evaluate, gate, infra-validate, package and register one model.",
)
def training(
    params: dict = {},  # noqa: B006 - kfp reads the default at compile time
    data_dvc: str = "data.dvc",
    repo: str = ".",
    revision: str = "",
    md5: str = "",
    store: str = "artifacts",
) -> None:
    """Train, judge and register.

    Args:
        params: the content of ``params.yaml``, which ``fraudline pipeline`` passes; what is absent has its default.
            The compiled file holds none of it, so that promoting a champion does not make the file stale.
        data_dvc: path of the .dvc file inside ``repo``.
        repo: path or address of the Git repository that tracks the data.
        revision: Git revision of the data; empty means the workspace.
        md5: the md5 that the data must have; empty means what the .dvc file says.
        store: folder of the artifact store; on a cluster, one that outlives the run.
    """
    ended = report_status()
    ended.set_caching_options(enable_caching=False)
    with dsl.ExitHandler(sized(ended, SMALL), name="training"):
        fetched = fetch(params=params, data_dvc=data_dvc, repo=repo, revision=revision, md5=md5)
        sized(side_effect(fetched), SMALL)
        dataset = fetched.outputs["dataset"]
        common = {"params": params, "data_md5": fetched.outputs["Output"]}
        validated = sized(validate(dataset=dataset, **common), MEDIUM)
        made = sized(featurize(dataset=dataset, **common).after(validated), MEDIUM)
        features = made.outputs["features"]
        model = sized(train(features=features, dataset=dataset, **common), LARGE).outputs["model"]
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
        registered = register(package=packed.outputs["package"], evaluation=evaluation, **common)
        sized(side_effect(registered), SMALL)


def compile_to(path: Path) -> None:
    """Write the compiled pipeline; the same source gives the same bytes."""
    compiler.Compiler().compile(training, package_path=str(path))


if __name__ == "__main__":
    compile_to(GOLDEN)
