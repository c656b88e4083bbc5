"""The two paths that requests for scores take, answered without FastAPI's validation and serialisation.

KServe's endpoints of the same paths stay registered behind them: they document the API, and answer for every other
model, version and method. What is answered here goes through the same data plane, and its errors to the same handlers.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from kserve.constants.constants import INFERENCE_CONTENT_LENGTH_HEADER, PredictorProtocol
from kserve.errors import ModelNotReady
from kserve.protocol.dataplane import DataPlane
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

_V1, _V2 = PredictorProtocol.REST_V1.value, PredictorProtocol.REST_V2.value
_JSON, _BYTES = b"application/json", b"application/octet-stream"


class DirectRoute(BaseRoute):
    """``POST`` to the V1 and V2 inference paths of some models.

    Args:
        dataplane: decodes, scores and encodes.
        models: names of the models.
    """

    def __init__(self, dataplane: DataPlane, models: Iterable[str]) -> None:
        self._dataplane = dataplane
        self._paths = {f"/v1/models/{name}:predict": (name, _V1) for name in models}
        self._paths |= {f"/v2/models/{name}/infer": (name, _V2) for name, _ in list(self._paths.values())}

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whole paths only: everything else is the framework's."""
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in self._paths:
            return Match.FULL, {}
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, from its body to its answer.

        Raises:
            ModelNotReady: it is not loaded.
            RequestError: the request is wrong.
        """
        name, protocol = self._paths[scope["path"]]
        if not await self._dataplane.model_ready(name, disable_predictor_health_check=True):
            raise ModelNotReady(name)
        body = await _body(receive)
        if body is None:
            return
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        request, attributes = self._dataplane.decode(body, headers, protocol, name)
        answer, _ = await self._dataplane.infer(name, request, headers)
        content, more = self._dataplane.encode(name, answer, headers, attributes)
        await _send(send, content, more)


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None when the client is gone."""
    message = await receive()
    pieces = [message.get("body", b"")]
    while message.get("more_body", False):
        message = await receive()
        pieces.append(message.get("body", b""))
    if message["type"] == "http.disconnect":
        return None
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def _send(send: Send, content: Any, headers: Mapping[str, str]) -> None:
    if isinstance(content, str):
        content = content.encode()
    media_type = _JSON if INFERENCE_CONTENT_LENGTH_HEADER not in headers else _BYTES
    if not isinstance(content, bytes):
        content = orjson.dumps(content)
    lines = [
        (key.lower().encode("latin-1"), value.encode("latin-1"))
        for key, value in headers.items()
        if key.lower() not in ("content-length", "content-type")
    ]
    given = headers.get("content-type")
    lines.append((b"content-type", given.encode("latin-1") if given else media_type))
    lines.append((b"content-length", b"%d" % len(content)))
    await send({"type": "http.response.start", "status": 200, "headers": lines})
    await send({"type": "http.response.body", "body": content})
