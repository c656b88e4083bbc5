"""V2 over gRPC: KServe's service and messages on the event loop of REST.

Without interceptors: each is another coroutine a call. Several servers share the port and the service, because one
accepts one call at a time: the next has to make its way from gRPC's thread to the event loop first.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import Any

import grpc  # type: ignore[import-untyped]
from kserve.errors import InferenceError, InvalidInput, ModelNotFound, ModelNotReady
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.grpc.grpc_predict_v2_pb2 import (
    ModelInferRequest,
    ModelInferResponse,
    ModelMetadataRequest,
    ModelMetadataResponse,
)
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.infer_type import InferRequest
from kserve.protocol.model_repository_extension import ModelRepositoryExtension

from fraudline.core.log import get_logger
from fraudline.core.masking import mask_text
from fraudline.core.tracing import Tracing
from fraudline.serve.guard import LIMITS, Limits, Tokens
from fraudline.serve.payload import MAX_ROWS
from fraudline.serve.tracing import Handle, TracedCalls

log = get_logger(__name__)

_OPEN = frozenset(("ServerLive", "ServerReady"))
"""Health: as over REST no token is asked for; the message is empty, and not read."""
_INFER = "ModelInfer"

SERVERS = 4
"""On one port; the kernel gives each connection to one of them."""

_ROW_BYTES = 16
"""A row's score and decision in an answer."""

Answer = Callable[[bytes, Any], Awaitable[Any]]
"""What a method of the service makes of a message and its call."""


def message_bytes(features: int, rows: int = MAX_ROWS) -> int:
    """Length of the largest message: FP64 features of all rows, or the contributions and expected values of them."""
    return max(LIMITS.message_bytes, rows * (8 * features + _ROW_BYTES) + (64 << 10))


def grpc_servers(
    dataplane: DataPlane,
    repository: ModelRepositoryExtension,
    *,
    tokens: Tokens | None = None,
    limits: Limits = LIMITS,
    tracing: Tracing | None = None,
) -> list[Any]:
    """Some ``grpc.aio.Server`` without a port, for one port and for the event loop that runs.

    Args:
        dataplane: has the model.
        repository: KServe's; refuses what it does not offer.
        tokens: who may ask; None for everybody. Health needs no token.
        limits: of messages and calls, of all servers together.
        tracing: makes a span of each traced call.
    """
    service = Service(dataplane, repository, tokens, limits, tracing)
    options = [(f"grpc.max_{way}_message_length", limits.message_bytes) for way in ("send", "receive")]
    # without the probe a stream that nobody reads holds 64 KiB; with it the window grows to megabytes
    options += [("grpc.so_reuseport", 1), ("grpc.max_concurrent_streams", limits.calls), ("grpc.http2.bdp_probe", 0)]
    options += [("grpc.server_handshake_timeout_ms", int(limits.head_s * 1_000))]
    servers = [grpc.aio.server(options=options) for _ in range(SERVERS)]
    for server in servers:
        server.add_generic_rpc_handlers((service,))
    return servers


class Service(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no type information
    """The handler of each call: what a client may ask over gRPC, and what it is told when it may not.

    UNAUTHENTICATED to a call without one of the tokens, INVALID_ARGUMENT to a message that is broken or wrong (gRPC by
    itself says INTERNAL, as if the server were to blame), CANCELLED when a message is not whole in time, and
    RESOURCE_EXHAUSTED when more calls than ``limits.calls`` are open: that is the one that has waited longest for its
    message, so that whoever opens calls and sends nothing keeps nobody out. Health is no such call, and is always
    answered.

    Args:
        dataplane: as of :func:`grpc_servers`.
        repository: the same.
        tokens: the same.
        limits: the same.
        tracing: the same.
    """

    def __init__(
        self,
        dataplane: DataPlane,
        repository: ModelRepositoryExtension,
        tokens: Tokens | None,
        limits: Limits,
        tracing: Tracing | None,
    ) -> None:
        self._models = dataplane.model_registry
        self._tokens = tokens
        self._limits = limits
        self._calls = min(limits.calls, max(1, limits.waiting_bytes // limits.message_bytes))
        self._open = 0
        self._waiting: dict[asyncio.Timeout, None] = {}  # calls whose message has not come, oldest first
        self._traced = TracedCalls(tracing) if tracing is not None else None
        kserves = _methods(_Servicer(dataplane, repository))
        self._handles = {name: self._handle(_of_kserve(handler)) for name, handler in kserves.items()}
        self._handles[_named(kserves, _INFER)] = self._handle(self._infer)
        for name in _OPEN:
            method = _named(kserves, name)
            self._handles[method] = _unread(_of_kserve(kserves[method]))
        self._handlers = {name: _handler(handle) for name, handle in self._handles.items()}

    def service(self, call: Any) -> Any:
        """What handles a call; None for a method that there is not."""
        handler = self._handlers.get(call.method)
        if handler is None or (self._tokens is None and self._traced is None):
            return handler
        given = dict(call.invocation_metadata)
        name = call.method.rpartition("/")[2]
        if self._tokens is not None and name not in _OPEN and not self._tokens.admit(str(given.get("authorization"))):
            return _REFUSING
        if self._traced is not None and name == _INFER:
            return _handler(self._traced.around(self._handles[call.method], call.method, given))
        return handler

    async def _infer(self, message: bytes, _: Any) -> bytes:
        request = _parsed(ModelInferRequest.FromString, message)
        InferenceServicer.validate_grpc_request(request)
        model = self._models.get_model(request.model_name)
        if model is None:
            raise ModelNotFound(request.model_name)
        if not model.ready:
            raise ModelNotReady(request.model_name)
        answer: ModelInferResponse = (await model(InferRequest.from_grpc(request)))[0]
        return bytes(answer.SerializeToString())

    def _handle(self, answer: Answer) -> Handle:
        async def handle(_: Any, context: Any) -> Any:
            self._open += 1
            try:
                if self._open > self._calls:
                    self._make_room()
                return await answer(await self._message(context), context)
            except Exception as error:
                status = _status(error)
            finally:
                self._open -= 1
            return await context.abort(*status)

        return handle

    def _make_room(self) -> None:
        if not self._waiting:
            raise _FullError("too many calls at once.")
        oldest = next(iter(self._waiting))
        del self._waiting[oldest]
        oldest.reschedule(0)

    async def _message(self, context: Any) -> bytes:
        patience = asyncio.timeout(self._limits.body_s)
        try:
            async with patience:
                self._waiting[patience] = None
                message = await context.read()
        except TimeoutError:
            if patience not in self._waiting:
                raise _FullError("too many calls at once.") from None
            raise _LateError("request: the message was not whole in time.") from None
        finally:
            self._waiting.pop(patience, None)
        if message is grpc.aio.EOF:
            raise InvalidInput("request: there is no message.")
        return bytes(message)


class _Servicer(InferenceServicer):  # type: ignore[misc]  # kserve has no type information
    """KServe's, whose metadata of a model lack its version."""

    async def ModelMetadata(self, request: ModelMetadataRequest, context: Any) -> ModelMetadataResponse:  # noqa: N802
        """The metadata of REST."""
        answer: ModelMetadataResponse = await super().ModelMetadata(request, context)
        answer.versions.extend((await self._data_plane.model_metadata(request.name))["versions"] or ())
        return answer


class _LateError(Exception):
    """A message was not whole in time."""


class _FullError(Exception):
    """Too many calls are open."""


def _methods(servicer: InferenceServicer) -> Mapping[str, Any]:
    """KServe's handlers by the full name of their method."""
    found: dict[str, Any] = {}

    def add(service: str, handlers: Mapping[str, Any]) -> None:
        found.update({f"/{service}/{name}": handler for name, handler in handlers.items()})

    server = SimpleNamespace(add_generic_rpc_handlers=lambda _: None, add_registered_method_handlers=add)
    add_GRPCInferenceServiceServicer_to_server(servicer, server)
    return found


def _named(methods: Mapping[str, Any], name: str) -> str:
    return next(method for method in methods if method.endswith(f"/{name}"))


def _of_kserve(handler: Any) -> Answer:
    async def answer(message: bytes, context: Any) -> Any:
        request = _parsed(handler.request_deserializer, message)
        return handler.response_serializer(await handler.unary_unary(request, context))

    return answer


def _unread(answer: Answer) -> Handle:
    async def handle(_: Any, context: Any) -> Any:
        try:
            return await answer(b"", context)
        except Exception as error:
            status = _status(error)
        return await context.abort(*status)

    return handle


def _parsed(parse: Callable[[bytes], Any], message: bytes) -> Any:
    try:
        return parse(message)
    except Exception:  # protobuf's own exceptions differ between its implementations
        raise InvalidInput("request: not the protobuf message of this method.") from None


def _status(error: Exception) -> tuple[Any, str]:
    """The status and the text of an exception; of a mistake of ours nothing is told."""
    for kind, code in _STATUS:
        if isinstance(error, kind):
            problem = mask_text(str(getattr(error, "reason", error)))
            log.warning("serve.refused", status=code.name, error=problem)
            return code, problem
    log.error("serve.error", error=repr(error))
    return grpc.StatusCode.INTERNAL, "internal error."


_STATUS = (
    ((InvalidInput, InferenceError), grpc.StatusCode.INVALID_ARGUMENT),
    (ModelNotFound, grpc.StatusCode.NOT_FOUND),
    (ModelNotReady, grpc.StatusCode.UNAVAILABLE),
    (NotImplementedError, grpc.StatusCode.UNIMPLEMENTED),
    (_LateError, grpc.StatusCode.CANCELLED),
    (_FullError, grpc.StatusCode.RESOURCE_EXHAUSTED),
)


async def _refuse(_: Any, context: Any) -> None:
    log.warning("serve.refused", status="UNAUTHENTICATED", error="authorization")
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, "authorization: a bearer token is needed, and not this one.")


def _handler(handle: Handle) -> Any:
    """A stream of one message is the same on the wire as one message, and its reading can be cut."""
    return grpc.stream_unary_rpc_method_handler(handle)


_REFUSING = _handler(_refuse)
