"""The gRPC service on a real port: limits, tokens and what a caller is told, whatever the model does."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from fraudline.serve.errors import RequestError
from fraudline.serve.guard import Limits, Tokens
from fraudline.serve.rpc import grpc_servers, message_bytes
from tests.support.until import until

METHOD = "/inference.GRPCInferenceService/{}"
TOKEN = "0123456789abcdef"  # noqa: S105  # of this test alone


class Model:
    """Answers by the request's id, or fails by it."""

    ready = True

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.entered = threading.Semaphore(0)

    async def __call__(self, request: Any) -> tuple[pb.ModelInferResponse, dict[str, str]]:
        match request.id:
            case "wrong":
                raise RequestError("inputs", "no card 4111111111111111.")
            case "broken":
                raise KeyError("a secret of the server")
            case "slow":
                self.entered.release()
                assert await asyncio.to_thread(self.go_on.wait, 120)
        return pb.ModelInferResponse(id=request.id, model_name="fraud"), {}


class Plane:
    """A data plane of one model."""

    def __init__(self, model: Model) -> None:
        self.model_registry = SimpleNamespace(get_model={"fraud": model}.get)

    async def live(self) -> dict[str, str]:
        return {"status": "alive"}

    async def ready(self) -> bool:
        return True


@contextmanager
def serving(model: Model, **options: Any) -> Iterator[grpc.Channel]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def started() -> tuple[list[Any], int]:
        servers, port = grpc_servers(Plane(model), None, **options), 0
        for server in servers:
            port = server.add_insecure_port(f"127.0.0.1:{port}")
            await server.start()
        return servers, port

    def run(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(120)

    servers, port = run(started())
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        model.go_on.set()
        for server in servers:
            run(server.stop(None))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def infer(channel: grpc.Channel, request_id: str = "", *, token: str = "", model: str = "fraud") -> Any:
    request = pb.ModelInferRequest(id=request_id, model_name=model).SerializeToString()
    metadata = [("authorization", f"Bearer {token}")] if token else None
    return channel.unary_unary(METHOD.format("ModelInfer")).future(request, timeout=120, metadata=metadata)


def refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call.result()
    return caught.value.code(), caught.value.details()


def test_a_call_is_answered_and_a_coroutine_of_kserve_beside_it() -> None:
    with serving(Model()) as channel:
        assert pb.ModelInferResponse.FromString(infer(channel, "a").result()).id == "a"
        live = channel.unary_unary(METHOD.format("ServerLive"))(b"", timeout=120)
        assert pb.ServerLiveResponse.FromString(live).live


def test_calls_that_send_nothing_keep_nobody_out() -> None:
    silent = threading.Event()

    def nothing() -> Iterator[bytes]:
        silent.wait(120)
        yield from ()

    with serving(Model(), limits=Limits(calls=3)) as channel, ExitStack() as stack:
        stack.callback(silent.set)
        held = [channel.stream_unary(METHOD.format("ModelInfer")).future(nothing(), timeout=120) for _ in range(3)]
        address, own = channel._channel.target().decode(), [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(address, own) as other:
            until(lambda: infer(other, "a").result() and any(call.done() for call in held))
            assert all(infer(other, "a").result() for _ in range(5))
        gone = [call for call in held if call.done()]
        assert {refusal(call)[0] for call in gone} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert len(gone) < len(held), "one place was asked for"


def test_a_wrong_request_is_told_why_and_a_mistake_of_ours_tells_nothing() -> None:
    with serving(Model()) as channel:
        status, problem = refusal(infer(channel, "wrong"))
        assert status is grpc.StatusCode.INVALID_ARGUMENT
        assert "inputs: no card" in problem
        assert "411111" not in problem
        assert refusal(infer(channel, "broken")) == (grpc.StatusCode.INTERNAL, "internal error.")
        assert refusal(infer(channel, model="other"))[0] is grpc.StatusCode.NOT_FOUND
        broken = channel.unary_unary(METHOD.format("ModelInfer")).future(b"\xff", timeout=120)
        assert refusal(broken)[0] is grpc.StatusCode.INVALID_ARGUMENT


def test_a_model_that_is_not_loaded_is_unavailable() -> None:
    model = Model()
    model.ready = False
    with serving(model) as channel:
        assert refusal(infer(channel))[0] is grpc.StatusCode.UNAVAILABLE


def test_a_message_that_does_not_come_is_cut_and_others_are_answered_meanwhile() -> None:
    never = threading.Event()

    def nothing() -> Iterator[bytes]:
        never.wait(120)
        yield from ()

    with serving(Model(), limits=Limits(body_s=2.0, calls=4)) as channel:
        slow = [channel.stream_unary(METHOD.format("ModelInfer")).future(nothing(), timeout=120) for _ in range(3)]
        assert infer(channel, "a").result()
        assert {refusal(call)[0] for call in slow} == {grpc.StatusCode.CANCELLED}
        never.set()


def test_one_call_too_many_is_refused_at_once_whatever_connection_it_comes_by() -> None:
    model = Model()
    with serving(model, limits=Limits(calls=2)) as channel, ExitStack() as others:
        alone = [("grpc.use_local_subchannel_pool", 1)]
        target = channel._channel.target().decode()
        more = [others.enter_context(grpc.insecure_channel(target, alone)) for _ in range(8)]
        slow = [infer(one, "slow") for one in more[:2]]
        for _ in slow:
            assert model.entered.acquire(timeout=120)
        for one in more[2:]:
            assert refusal(infer(one, "a"))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        model.go_on.set()
        assert all(call.result() for call in slow)
        assert infer(channel, "a").result()


def test_only_health_is_for_those_without_a_token(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(TOKEN)
    with serving(Model(), tokens=Tokens(tmp_path / "tokens")) as channel:
        assert channel.unary_unary(METHOD.format("ServerLive"))(b"", timeout=120)
        assert infer(channel, "a", token=TOKEN).result()
        assert refusal(infer(channel, "a"))[0] is grpc.StatusCode.UNAUTHENTICATED
        assert refusal(infer(channel, "a", token=TOKEN[::-1]))[0] is grpc.StatusCode.UNAUTHENTICATED


def test_health_takes_no_call_from_the_others_and_none_of_its_messages_is_read(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(TOKEN)
    model, never = Model(), threading.Event()

    def nothing() -> Iterator[bytes]:
        never.wait(120)
        yield from ()

    with serving(model, tokens=Tokens(tmp_path / "tokens"), limits=Limits(calls=1)) as channel:
        slow = infer(channel, "slow", token=TOKEN)
        assert model.entered.acquire(timeout=120)
        with grpc.insecure_channel(
            channel._channel.target().decode(), [("grpc.use_local_subchannel_pool", 1)]
        ) as other:
            for name in ("ServerLive", "ServerReady"):
                assert other.stream_unary(METHOD.format(name)).future(nothing(), timeout=120).result()
                assert other.unary_unary(METHOD.format(name))(b"\xff" * (1 << 20), timeout=120)
            asked = other.unary_unary(METHOD.format("ModelReady")).future(b"", timeout=120)
            assert refusal(asked)[0] is grpc.StatusCode.UNAUTHENTICATED
        never.set()
        model.go_on.set()
        assert slow.result()


def test_the_largest_request_fits_into_a_message_and_all_messages_into_what_may_wait() -> None:
    limits = Limits(message_bytes=message_bytes(41))
    assert limits.message_bytes >= 2 << 20
    wide = message_bytes(300)
    assert pb.ModelInferRequest(raw_input_contents=[b"0" * 4_096 * 300 * 8]).ByteSize() < wide < 11 << 20
    model = Model()
    small = Limits(calls=3, message_bytes=1_000, waiting_bytes=2_000)
    with serving(model, limits=small) as channel:
        assert refusal(infer(channel, "x" * 1_000))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        slow = [infer(channel, "slow") for _ in range(2)]
        for _ in slow:
            assert model.entered.acquire(timeout=120)
        assert refusal(infer(channel, "a"))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        model.go_on.set()
        assert all(call.result() for call in slow)
