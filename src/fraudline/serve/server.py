"""One process, one model, KServe's own REST application and gRPC service.

KServe's ``ModelServer`` binds all interfaces whatever it is told and offers loading and unloading over the network;
:class:`Predictor` is one with a host, strict decoding, a fixed repository, errors that name the field and a shorter way
from a request to the model.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc  # type: ignore[import-untyped]
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from kserve import ModelRepository, ModelServer
from kserve.constants.constants import FASTAPI_APP_IMPORT_STRING, MAX_GRPC_MESSAGE_LENGTH
from kserve.errors import InvalidInput
from kserve.model_server import app as kserve_app
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from kserve.protocol.grpc.interceptors import ExceptionToStatusInterceptor
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.rest.server import RESTServer
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fraudline.core.log import get_logger
from fraudline.core.tracing import Tracing
from fraudline.serve.dataplane import BINARY, FixedRepository, StrictDataPlane
from fraudline.serve.direct import DirectRoute
from fraudline.serve.model import FraudModel
from fraudline.serve.tracing import TracedRequests

log = get_logger(__name__)

GRACE_SECONDS = 20
"""Time for requests in flight at shutdown; below Kubernetes' 30 s before it kills."""

MAX_BODY_BYTES = 32 << 20
"""Largest request body: MAX_ROWS rows of named features in JSON fit several times."""


class Predictor(ModelServer):  # type: ignore[misc]  # kserve has no type information
    """KServe's model server for one model.

    Args:
        host: address to bind, for example 127.0.0.1 or 0.0.0.0.
        http_port: port of REST.
        grpc_port: port of gRPC; None: no gRPC.
        tracing: makes a span of each traced request of REST.
    """

    def __init__(self, *, host: str, http_port: int, grpc_port: int | None, tracing: Tracing | None = None) -> None:
        super().__init__(
            http_port=http_port,
            grpc_port=grpc_port or 0,
            enable_grpc=grpc_port is not None,
            enable_latency_logging=False,
            grace_period=GRACE_SECONDS,
            registered_models=ModelRepository(),
        )
        self.host = host
        self.tracing = tracing
        self.dataplane = StrictDataPlane(self.registered_models)
        self.model_repository_extension = FixedRepository(self.registered_models)

    def start(self, models: Sequence[FraudModel]) -> None:
        """Serve loaded models until SIGTERM or SIGINT."""
        for model in models:
            self.register_model(model)
        parts = self.dataplane, self.model_repository_extension
        rest = _RestServer(FASTAPI_APP_IMPORT_STRING, *parts, self.http_port, grace_period=self.grace_period)
        rest.config.host = self.host
        rest.tracing = self.tracing
        # uvicorn stops on these signals by itself, then raises them again: gRPC must have ended before the process does
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            service = (InferenceServicer(*parts), self.grpc_port) if self.enable_grpc else None
            runner.run(_serve(rest, service, self.host))


async def _serve(rest: RESTServer, service: tuple[InferenceServicer, int] | None, host: str) -> None:
    if service is None:
        await rest.start()
        return
    servicer, port = service
    limits = [(f"grpc.max_{way}_message_length", MAX_GRPC_MESSAGE_LENGTH) for way in ("send", "receive")]
    server = grpc.aio.server(interceptors=(ExceptionToStatusInterceptor(),), options=limits)
    add_GRPCInferenceServiceServicer_to_server(servicer, server)
    server.add_insecure_port(f"{host}:{port}")
    await server.start()
    try:
        await rest.start()
    finally:
        await server.stop(grace=GRACE_SECONDS)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


class _RestServer(RESTServer):  # type: ignore[misc]  # kserve has no type information
    """KServe's REST server with our answers to wrong input, and a shorter way to right ones."""

    tracing: Tracing | None = None

    def _add_middlewares(self, app: ASGIApp) -> None:
        """None of KServe's: it times each request for a log that is off."""

    def create_application(self) -> None:
        super().create_application()
        if self.tracing is not None:
            kserve_app.add_middleware(TracedRequests, tracing=self.tracing)
        kserve_app.router.routes.insert(0, DirectRoute(self.dataplane, self.dataplane.model_registry.get_models()))
        kserve_app.add_middleware(BodyLimit, limit=MAX_BODY_BYTES)
        kserve_app.add_exception_handler(InvalidInput, _refuse)
        kserve_app.add_exception_handler(RequestValidationError, _refuse_schema)
        kserve_app.add_exception_handler(NotImplementedError, _not_offered)
        kserve_app.add_exception_handler(HTTPException, _refuse_http)


def _answer(request: Request, status: int, error: str, field: str = "") -> JSONResponse:
    log.warning("serve.refused", path=request.url.path, status=status, error=error)
    return JSONResponse(status_code=status, content={"error": error} | ({"field": field} if field else {}))


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    return _answer(request, 400, str(error), getattr(error, "field", ""))


async def _refuse_schema(request: Request, error: Exception) -> JSONResponse:
    """FastAPI's own check of a V2 body: the deepest complaint is the one about the object that the caller meant."""
    details: list[dict[str, Any]] = list(error.errors()) if isinstance(error, RequestValidationError) else []
    if not details or details[0]["type"] == "json_invalid":
        reason = details[0].get("ctx", {}).get("error", "") if details else ""
        return _answer(request, 400, f"body: not JSON: {reason}. {BINARY}", "body")
    deepest = max(details, key=lambda detail: len(detail["loc"]))
    parts = [str(part) for part in deepest["loc"] if part not in ("body", "InferenceRequest", "bytes")]
    field = ".".join(parts) or "body"
    return _answer(request, 400, f"{field}: {deepest['msg']}.", field)


async def _refuse_http(request: Request, error: Exception) -> JSONResponse:
    """What the framework refuses by itself: unknown paths and methods, and bodies that are no text."""
    status = getattr(error, "status_code", 500)
    if status == 400:
        return _answer(request, 400, f"body: {getattr(error, 'detail', 'malformed')}. {BINARY}", "body")
    return _answer(request, status, f"{request.method} {request.url.path}: {getattr(error, 'detail', '')}.", "path")


async def _not_offered(request: Request, _: Exception) -> JSONResponse:
    return _answer(request, 404, f"{request.url.path}: not offered.", "path")


class BodyLimit:
    """ASGI middleware: 413 to a body that is declared or turns out larger than ``limit`` bytes."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the body on its way in."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        refusal = _answer_413(self._limit)
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > self._limit:
            await refusal(scope, receive, send)
            return
        await self._app(scope, self._counted(receive), send)

    def _counted(self, receive: Receive) -> Callable[[], Awaitable[Message]]:
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._limit:
                raise InvalidInput(f"body: more than {self._limit} bytes. Split the request.")
            return message

        return counted


def _answer_413(limit: int) -> JSONResponse:
    return JSONResponse(status_code=413, content={"error": f"body: more than {limit} bytes.", "field": "body"})
