"""Requests that arrive together share a call of the model, and nothing else."""

import asyncio
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from fraudline.model.artifact import load_artifact
from fraudline.serve.in_flight import ALONE_ROWS, InFlight, ThreadsInFlight
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


def gathering(model: Doubling, *, gather: bool = True) -> InFlight[int, int]:
    return InFlight(model, rows=lambda job: job, gather=gather)


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


class Held(Doubling):
    """A model that is busy with its first call until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.busy, self.free = threading.Event(), threading.Event()

    def __call__(self, jobs: Sequence[int]) -> list[int]:
        first = not self.calls
        results = super().__call__(jobs)
        if first:
            self.busy.set()
            assert self.free.wait(20)
        return results


def behind(model: Held, *jobs: int) -> tuple[ThreadsInFlight[int, int], list[Any]]:
    """The results of threads whose jobs came, in this order, while the model was busy with a job of 7."""
    in_flight = ThreadsInFlight(model, rows=lambda job: job)
    waiting = in_flight._waiting
    with ThreadPoolExecutor(len(jobs) + 1) as pool:
        pool.submit(in_flight, 7)
        assert model.busy.wait(20)
        futures = []
        for n, job in enumerate(jobs, 1):
            futures.append(pool.submit(in_flight, job))
            while len(waiting) < n:
                time.sleep(0.001)
        model.free.set()
        return in_flight, [future.exception() or future.result() for future in futures]


def test_threads_that_wait_for_the_model_share_its_next_call() -> None:
    model = Held()
    _, results = behind(model, 1, 2, 3)
    assert results == [2, 4, 6]
    assert model.calls == [[7], [1, 2, 3]]


def test_a_call_for_threads_is_no_larger_than_pays() -> None:
    model, most = Held(), ALONE_ROWS - 1
    _, results = behind(model, most, most, most)
    assert results == [2 * most] * 3
    assert model.calls == [[7], [most, most], [most]]


def test_a_failure_of_the_model_reaches_every_thread_of_the_call_and_no_later_one() -> None:
    in_flight, results = behind(Held(), 1, 13)
    assert [type(result) for result in results] == [ValueError, ValueError]
    assert in_flight(1) == 2


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

    alone = [model.postprocess(model.predict(model.preprocess(request))) for request in requests]
    assert asyncio.run(crowd()) == alone
    decisions = {prediction["decision"] for answer in alone for prediction in answer["predictions"]}
    assert len(decisions) > 1
