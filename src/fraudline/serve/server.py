"""One process, one model, KServe's own REST application and gRPC service.

KServe's ``ModelServer`` binds all interfaces whatever it is told and offers loading and unloading over the network;
:class:`Predictor` is one with a host, strict decoding, a fixed repository, errors that name the field and a shorter way
from a request to the model.
"""

import asyncio
import signal
import socket
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import uvicorn
from fastapi import FastAPI
from kserve import ModelRepository, ModelServer
from kserve.constants.constants import FASTAPI_APP_IMPORT_STRING
from kserve.model_server import app as kserve_app
from kserve.protocol.rest.server import RESTServer
from starlette.types import ASGIApp

from fraudline.core.errors import UsageError
from fraudline.core.heap import freeze_heap
from fraudline.core.log import get_logger
from fraudline.core.tracing import Tracing
from fraudline.serve.access import OPEN, Access, credentials, renewing
from fraudline.serve.dataplane import FixedRepository, StrictDataPlane
from fraudline.serve.direct import DirectRoute
from fraudline.serve.guard import LIMITS, Guard, Tokens
from fraudline.serve.impatient import impatient
from fraudline.serve.model import FraudModel
from fraudline.serve.payload import json_values
from fraudline.serve.refusals import refuse_by_field
from fraudline.serve.rpc import grpc_servers, message_bytes
from fraudline.serve.tracing import TracedRequests

log = get_logger(__name__)

GRACE_SECONDS = 20
"""Time for requests in flight at shutdown; below Kubernetes' 30 s before it kills."""

_PREDICT = "/v1/models/{model_name}:predict"


class Predictor(ModelServer):  # type: ignore[misc]  # kserve has no type information
    """KServe's model server for one model.

    Args:
        host: address to bind, for example 127.0.0.1 or 0.0.0.0.
        http_port: port of REST.
        grpc_port: port of gRPC; None: no gRPC.
        access: who may ask.
        tracing: makes a span of each traced request.

    Raises:
        UsageError: a certificate, a key or the tokens cannot be read.
    """

    def __init__(
        self,
        *,
        host: str,
        http_port: int,
        grpc_port: int | None,
        access: Access = OPEN,
        tracing: Tracing | None = None,
    ) -> None:
        self._access = access
        self._tokens = Tokens(access.tokens) if access.tokens else None
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
        """Serve loaded models until SIGTERM or SIGINT.

        Raises:
            UsageError: an address cannot be had.
        """
        for model in models:
            self.register_model(model)
        parts = self.dataplane, self.model_repository_extension
        access, port = self._access, self.http_port
        files = {"ssl_certfile": str(access.certificate), "ssl_keyfile": str(access.key)} if access.certificate else {}
        rest = _RestServer(FASTAPI_APP_IMPORT_STRING, *parts, port, grace_period=self.grace_period, **files)
        rest.config.host = self.host
        rest.config.http, rest.config.ws = impatient(), "none"
        rest.config.limit_concurrency = LIMITS.connections
        limits = replace(LIMITS, values=json_values(max(model.fields for model in models)))
        kserve_app.add_middleware(Guard, limits=limits, tokens=self._tokens)
        kserve_app.router.redirect_slashes = False  # to an address made of the client's own header Host
        rest.tracing = self.tracing
        loaded = {model.name: model.version for model in models}
        grpc_port = self.grpc_port if self.enable_grpc else None
        rest.ready = partial(
            log.info, "serve.ready", models=loaded, host=self.host, http_port=port, grpc_port=grpc_port
        )
        # uvicorn stops on these signals by itself, then raises them again: gRPC must have ended before the process does
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(self._serve(rest))

    async def _serve(self, rest: "_RestServer") -> None:
        rest.beside = self._grpc_servers() if self.enable_grpc else []
        rest.config.load()
        renewal = asyncio.create_task(renewing(rest.config.ssl, self._access))
        try:
            for server in rest.beside:
                await server.start()
            await rest.start()
        except SystemExit as error:  # uvicorn's way to say that it could not listen, after a line of log
            raise _no_address("REST", self.host, self.http_port) from error
        finally:
            renewal.cancel()
            await rest.stop_beside()

    def _grpc_servers(self) -> list[Any]:
        """Those of gRPC on their port, which no other process has: they share it among themselves."""
        features = max(model.get_input_types()[0]["shape"][1] for model in self.registered_models.get_models().values())
        limits = replace(LIMITS, message_bytes=message_bytes(features))
        parts = self.dataplane, self.model_repository_extension
        servers = grpc_servers(*parts, tokens=self._tokens, limits=limits, tracing=self.tracing)
        address, access = f"[{self.host}]" if ":" in self.host else self.host, self._access
        try:
            _check_free(self.host, self.grpc_port)
            for server in servers:
                if access.certificate is None or access.key is None:
                    server.add_insecure_port(f"{address}:{self.grpc_port}")
                else:
                    server.add_secure_port(f"{address}:{self.grpc_port}", credentials(access.certificate, access.key))
        except (OSError, RuntimeError) as error:
            raise _no_address("gRPC", self.host, self.grpc_port, str(error)) from error
        return servers


def _check_free(host: str, port: int) -> None:
    """Raises OSError where another process listens there: gRPC would share the port, and the calls, with it."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def _no_address(what: str, host: str, port: int, reason: str = "") -> UsageError:
    problem = f"{what} cannot listen on {host}, port {port}{reason and f': {reason}'}."
    return UsageError(problem, "Name an address of this machine and a port that nothing listens on.")


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """The fastest event loop that there is, which cuts a TLS handshake like any other head of a request."""
    try:
        from uvloop import Loop as Base
    except ImportError:
        Base = asyncio.SelectorEventLoop  # type: ignore[assignment,misc]

    class Loop(Base):
        async def create_server(self, *args: Any, **options: Any) -> Any:
            if options.get("ssl") is not None:
                options["ssl_handshake_timeout"] = LIMITS.head_s
            return await super().create_server(*args, **options)

    return Loop


class _Uvicorn(uvicorn.Server):
    """Says when it listens, and stops what is beside it with itself: Kubernetes has one grace period for all."""

    def __init__(
        self, config: uvicorn.Config, ready: Callable[[], object], beside: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        super().__init__(config)
        self._ready, self._beside = ready, beside

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await asyncio.gather(super().shutdown(sockets), self._beside())


class _RestServer(RESTServer):  # type: ignore[misc]  # kserve has no type information
    """KServe's REST server with our answers to wrong input, and a shorter way to right ones."""

    tracing: Tracing | None = None
    beside: Sequence[Any] = ()  # gRPC's servers
    ready: Callable[[], object] = staticmethod(lambda: None)

    async def start(self) -> None:
        # not KServe's subclass of uvicorn's: it watches inodes, which a Kubernetes mount changes in its own way
        self._server = _Uvicorn(self.config, self.ready, self.stop_beside)
        await super().start()

    async def stop_beside(self) -> None:
        await asyncio.gather(*(server.stop(grace=GRACE_SECONDS) for server in self.beside))

    def _add_middlewares(self, app: ASGIApp) -> None:
        """None of KServe's: it times each request for a log that is off."""

    def create_application(self) -> None:
        super().create_application()
        if self.tracing is not None:
            kserve_app.add_middleware(TracedRequests, tracing=self.tracing)
        kserve_app.router.routes.insert(0, DirectRoute(self.dataplane, self.dataplane.model_registry.get_models()))
        _describe(kserve_app, self.dataplane.model_registry.get_models().values())
        refuse_by_field(kserve_app)
        freeze_heap()  # all that serves is there now


def _describe(app: FastAPI, models: Iterable[FraudModel]) -> None:
    """The body of V1 in the OpenAPI document: KServe's endpoint takes any request, and so describes none."""
    kserves = app.openapi
    schemas = [model.v1_schema() for model in models]
    body = {"required": True, "content": {"application/json": {"schema": {"anyOf": schemas}}}}

    def openapi() -> dict[str, Any]:
        document = kserves()
        document["paths"][_PREDICT]["post"]["requestBody"] = body
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's way of extending it
