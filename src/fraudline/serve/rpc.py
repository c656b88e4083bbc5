"""V2 over gRPC: KServe's service and messages, a thread a call.

``grpc.aio`` hands each part of a call from a thread of its own to the event loop, and one call at a time; on threads a
call costs less, and calls meet before the model. What is asked of KServe's coroutines goes to the event loop.
"""

import asyncio
import inspect
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc  # type: ignore[import-untyped]
from kserve.constants.constants import MAX_GRPC_MESSAGE_LENGTH
from kserve.errors import InferenceError, InvalidInput, ModelNotFound, ModelNotReady
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferRequest, ModelInferResponse
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.infer_type import InferRequest
from kserve.protocol.model_repository_extension import ModelRepositoryExtension

from fraudline.core.log import get_logger
from fraudline.core.masking import mask_text
from fraudline.core.tracing import Tracing
from fraudline.serve.guard import LIMITS, Limits, Tokens
from fraudline.serve.tracing import TracedCalls

log = get_logger(__name__)

_OPEN = ("ServerLive", "ServerReady", "ModelReady")
_BROKEN = object()
_WATCH_S = 1.0


def grpc_server(
    dataplane: DataPlane,
    repository: ModelRepositoryExtension,
    loop: asyncio.AbstractEventLoop,
    *,
    tokens: Tokens | None = None,
    limits: Limits = LIMITS,
    tracing: Tracing | None = None,
) -> Any:
    """A ``grpc.Server`` without a port.

    Args:
        dataplane: has the model.
        repository: KServe's; refuses what it does not offer.
        loop: runs KServe's coroutines; must run for as long as the server does.
        tokens: who may ask; None for everybody. Health needs no token.
        limits: of messages and calls. One call more than ``calls`` is RESOURCE_EXHAUSTED.
        tracing: makes a span of each traced call.
    """
    traced = (TracedCalls(tracing),) if tracing is not None else ()
    server = grpc.server(
        ThreadPoolExecutor(limits.calls, thread_name_prefix="grpc"),
        interceptors=(*traced, GrpcGuard(loop, tokens, limits)),
        options=[(f"grpc.max_{way}_message_length", MAX_GRPC_MESSAGE_LENGTH) for way in ("send", "receive")],
        maximum_concurrent_rpcs=limits.calls,
    )
    add_GRPCInferenceServiceServicer_to_server(Servicer(dataplane, repository), server)
    return server


class Servicer(InferenceServicer):  # type: ignore[misc]  # kserve has no type information
    """KServe's service, whose inference runs in the thread of the call."""

    def __init__(self, dataplane: DataPlane, repository: ModelRepositoryExtension) -> None:
        super().__init__(dataplane, repository)
        self._models = dataplane.model_registry

    def ModelInfer(self, request: ModelInferRequest, context: Any) -> ModelInferResponse:  # noqa: N802  # of the protocol
        """Score one request.

        Raises:
            InvalidInput: it is wrong.
            ModelNotFound: it asks for another model.
            ModelNotReady: the model is not loaded.
        """
        self.validate_grpc_request(request)
        model = self._models.get_model(request.model_name)
        if model is None:
            raise ModelNotFound(request.model_name)
        if not model.ready:
            raise ModelNotReady(request.model_name)
        return model.answer(InferRequest.from_grpc(request))


class GrpcGuard(grpc.ServerInterceptor):  # type: ignore[misc]  # grpc has no type information
    """What a client may ask over gRPC, and what it is told when it may not.

    UNAUTHENTICATED to a call without one of the tokens, INVALID_ARGUMENT to a message that is broken or wrong (gRPC by
    itself says INTERNAL, as if the server were to blame), and CANCELLED when a message is not whole in time.

    Args:
        loop: runs coroutines.
        tokens: who may ask; None for everybody.
        limits: of the time of a message.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, tokens: Tokens | None, limits: Limits = LIMITS) -> None:
        self._loop = loop
        self._tokens = tokens
        self._watch = _Watch(limits.body_s)
        self._handlers: dict[str, Any] = {}

    def intercept_service(self, continuation: Callable[[Any], Any], call: Any) -> Any:
        """Look at the call's metadata before its handler."""
        if self._tokens is not None and call.method.rpartition("/")[2] not in _OPEN:
            given = dict(call.invocation_metadata).get("authorization", "")
            if not self._tokens.admit(str(given)):
                return _REFUSING
        handler = self._handlers.get(call.method)
        if handler is None:
            handler = continuation(call)
            if handler is None:
                return None
            handler = self._handlers[call.method] = self._guarded(handler)
        return handler

    def _guarded(self, handler: Any) -> Any:
        def parse(content: bytes) -> Any:
            try:
                return handler.request_deserializer(content)
            except Exception:  # protobuf's own exceptions differ between its implementations
                return _BROKEN

        def answer(messages: Iterator[Any], context: Any) -> Any:
            with self._watch(context):
                request = next(messages, _BROKEN)
            try:
                if request is _BROKEN:
                    raise InvalidInput("request: not the protobuf message of this method.")
                given = handler.unary_unary(request, context)
                if inspect.isawaitable(given):
                    given = asyncio.run_coroutine_threadsafe(_awaited(given), self._loop).result()
            except Exception as error:
                status = _status(error)
            else:
                return given
            return context.abort(*status)

        # a stream of one message is the same on the wire, and its reading can be watched
        return grpc.stream_unary_rpc_method_handler(
            answer, request_deserializer=parse, response_serializer=handler.response_serializer
        )


class _Watch:
    """Cancels calls that are read for longer than a limit."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._since: dict[Any, float] = {}
        threading.Thread(target=self._run, name="grpc-watch", daemon=True).start()

    def __call__(self, context: Any) -> "_Watched":
        return _Watched(self._since, context)

    def _run(self) -> None:
        while True:
            time.sleep(_WATCH_S)
            late = time.monotonic() - self._limit_s
            for context, since in list(self._since.items()):  # the oldest first
                if since > late:
                    break
                log.warning("serve.cut", reason="gRPC message not whole")
                context.cancel()
                self._since.pop(context, None)


class _Watched:
    __slots__ = ("_context", "_since")

    def __init__(self, since: dict[Any, float], context: Any) -> None:
        self._since, self._context = since, context

    def __enter__(self) -> None:
        self._since[self._context] = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._since.pop(self._context, None)


async def _awaited(given: Any) -> Any:
    return await given


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
)


def _refuse(_: Any, context: Any) -> None:
    log.warning("serve.refused", status="UNAUTHENTICATED", error="authorization")
    context.abort(grpc.StatusCode.UNAUTHENTICATED, "authorization: a bearer token is needed, and not this one.")


_REFUSING = grpc.unary_unary_rpc_method_handler(_refuse)
