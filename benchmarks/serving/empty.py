"""A KServe server whose model does nothing, as KServe starts it; and the same with one thing after another changed.

    python -m benchmarks.serving.empty --http_port 8080 --grpc_port 8081 --model_name fraud --steps logs,loop

KServe reads its own arguments from the command line.
"""

import argparse
import asyncio
import logging
import warnings
from typing import Any

import kserve.model_server
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from kserve.protocol.rest.server import RESTServer

STEPS = ("logs", "loop", "timing", "route")
"""In this order: each with those before it."""


class Empty(Model):  # type: ignore[misc]  # kserve has no type information
    """Answers the same to everything."""

    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        """One number, in the protocol of the request."""
        if not isinstance(payload, InferRequest):
            return {"predictions": [0.0]}
        output = InferOutput("score", [1], "FP32", [0.0])
        return InferResponse(payload.id or "1", self.name, [output], from_grpc=payload.from_grpc)


class OwnPath(RESTServer):  # type: ignore[misc]  # kserve has no type information
    """KServe's REST server with our route before its own."""

    def create_application(self) -> None:
        """The application with one more route."""
        from fraudline.serve.direct import DirectRoute

        super().create_application()
        routes = kserve.model_server.app.router.routes
        routes.insert(0, DirectRoute(self.dataplane, self.dataplane.model_registry.get_models()))


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(parents=[kserve.model_server.parser], conflict_handler="resolve")
    parser.add_argument("--steps", default="")
    arguments = parser.parse_args()
    steps = [name for name in arguments.steps.split(",") if name]
    warnings.simplefilter("ignore")
    model = Empty(arguments.model_name)
    model.load()
    server = ModelServer(enable_latency_logging="logs" not in steps)
    if "logs" in steps:
        for name in ("kserve", "kserve.trace", "uvicorn.access"):
            logging.getLogger(name).setLevel(logging.WARNING)
    if "loop" in steps:
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
        asyncio.set_event_loop(asyncio.new_event_loop())
    if "timing" in steps:
        RESTServer._add_middlewares = lambda self, app: None  # noqa: SLF001
    if "route" in steps:
        from fraudline.serve.dataplane import StrictDataPlane

        kserve.model_server.RESTServer = OwnPath
        server.dataplane = StrictDataPlane(server.registered_models)
    server.start([model])


if __name__ == "__main__":
    main()
