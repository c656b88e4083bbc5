"""Requests that arrive together share a call of the model, and nothing else."""

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from kserve import InferResponse, ModelRepository
from prometheus_client import REGISTRY

from fraudline.model.artifact import load_artifact
from fraudline.serve.dataplane import StrictDataPlane
from fraudline.serve.in_flight import ALONE_ROWS, InFlight
from fraudline.serve.model import FraudModel
from tests.support.artifacts import tiny_artifact


class Doubling:
    """A model of jobs that are numbers of rows."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []

    def __call__(self, jobs: Sequence[int]) -> list[int]:
        self.calls.append(list(jobs))
        if 13 in jobs:
            raise ValueError("unlucky")
        return [2 * job for job in jobs]


def gathering(model: Doubling, *, patience: int = 1, gather: bool = True) -> InFlight[int, int]:
    return InFlight(model, rows=lambda job: job, patience=lambda job: patience, gather=gather)


def together(in_flight: InFlight[int, int], *jobs: int) -> list[Any]:
    async def ask() -> list[Any]:
        return await asyncio.gather(*(in_flight(job) for job in jobs), return_exceptions=True)

    return asyncio.run(ask())


def test_jobs_that_arrive_together_are_one_call_and_each_gets_its_own_result() -> None:
    model = Doubling()
    assert together(gathering(model), 1, 2, 3) == [2, 4, 6]
    assert model.calls == [[1, 2, 3]]


def test_without_gathering_each_job_is_a_call() -> None:
    model = Doubling()
    assert together(gathering(model, gather=False), 1, 2) == [2, 4]
    assert model.calls == [[1], [2]]


def test_a_large_job_neither_waits_nor_makes_others_wait() -> None:
    model = Doubling()
    assert together(gathering(model), 1, ALONE_ROWS, 2) == [2, 2 * ALONE_ROWS, 4]
    assert model.calls == [[ALONE_ROWS], [1, 2]]


def test_a_full_batch_goes_at_once() -> None:
    model, half = Doubling(), ALONE_ROWS // 2
    together(gathering(model), half, half, 1)
    assert model.calls == [[half, half], [1]]


def test_a_failure_of_the_model_reaches_every_job_of_the_call_and_no_later_one() -> None:
    model = Doubling()
    in_flight = gathering(model)
    assert [type(result) for result in together(in_flight, 1, 13)] == [ValueError, ValueError]
    assert together(in_flight, 1) == [2]


def test_the_job_of_a_client_that_is_gone_is_not_scored() -> None:
    model = Doubling()

    async def ask() -> int:
        in_flight = gathering(model)
        gone, kept = asyncio.create_task(in_flight(1)), asyncio.create_task(in_flight(2))
        await asyncio.sleep(0)
        gone.cancel()
        return await kept

    assert asyncio.run(ask()) == 4
    assert model.calls == [[2]]


def test_with_patience_jobs_some_turns_apart_are_one_call() -> None:
    async def ask(patience: int) -> list[list[int]]:
        model = Doubling()
        in_flight = gathering(model, patience=patience)
        tasks = []
        for job in (1, 2, 3):
            tasks.append(asyncio.create_task(in_flight(job)))
            for _ in range(5):
                await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        return model.calls

    assert asyncio.run(ask(10)) == [[1, 2, 3]]
    assert asyncio.run(ask(1)) == [[1], [2], [3]]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_rows_of_several_requests_get_the_answers_that_each_would_get_alone(tmp_path: Any) -> None:
    folder = tiny_artifact(tmp_path / "model", review=0.5, block=0.6)
    names = load_artifact(folder).spec.names
    model = FraudModel("fraud", folder)
    model.load()
    rng = np.random.default_rng(0)
    requests = [
        {"instances": [dict(zip(names, row, strict=True)) for row in rng.normal(0, 3, (n, len(names))).tolist()]}
        for n in (1, 3, 2, 5, 1)
    ]

    async def crowd() -> list[Any]:
        return [answer for answer, _ in await asyncio.gather(*(model(request) for request in requests))]

    alone = [asyncio.run(model(request))[0] for request in requests]
    assert asyncio.run(crowd()) == alone
    decisions = {prediction["decision"] for answer in alone for prediction in answer["predictions"]}
    assert len(decisions) > 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_request_that_was_scored_and_could_not_be_answered_counts_as_failed(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_artifact(tmp_path / "model")
    model = FraudModel("unanswered", folder)
    model.load()
    plane = StrictDataPlane(ModelRepository())
    plane.model_registry.update(model)
    row = [0.0] * len(load_artifact(folder).spec.names)

    def failed() -> float | None:
        labels = {"model": "unanswered", "version": model.version}
        return REGISTRY.get_sample_value("fraudline_predictor_failed_total", labels)

    def broken(_: Any) -> Any:
        raise KeyError

    with pytest.raises(TypeError):
        plane.encode("unanswered", InferResponse("\ud800", "unanswered", []), {}, {})
    assert failed() == 1
    monkeypatch.setattr(model, "_predictions", broken)
    with pytest.raises(KeyError):
        asyncio.run(model({"instances": [row]}))
    assert failed() == 2
