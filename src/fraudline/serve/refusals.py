"""What REST answers to a request that it refuses: the field, and what was expected."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from kserve.errors import InvalidInput, ModelNotFound
from starlette.exceptions import HTTPException

from fraudline.core.log import get_logger
from fraudline.core.masking import masked
from fraudline.serve.dataplane import BINARY

log = get_logger(__name__)


def refuse_by_field(app: FastAPI) -> None:
    """Answer what an application refuses by ``error`` and ``field``, and log it."""
    app.add_exception_handler(InvalidInput, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_schema)
    app.add_exception_handler(ModelNotFound, _no_such_model)
    app.add_exception_handler(NotImplementedError, _not_offered)
    app.add_exception_handler(HTTPException, _refuse_http)
    app.add_exception_handler(Exception, _failed)


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    return _answer(request, 400, str(error), getattr(error, "field", "body"))


async def _no_such_model(request: Request, error: Exception) -> JSONResponse:
    return _answer(request, 404, str(error), "model")


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


async def _failed(request: Request, error: Exception) -> JSONResponse:
    """A mistake of ours: logged here, and nothing of it answered."""
    log.error("serve.error", path=request.url.path, error=repr(error))
    return JSONResponse(status_code=500, content={"error": "internal error."})


async def _not_offered(request: Request, _: Exception) -> JSONResponse:
    return _answer(request, 404, f"{request.url.path}: not offered.", "path")


def _answer(request: Request, status: int, error: str, field: str = "") -> JSONResponse:
    log.warning("serve.refused", path=request.url.path, status=status, error=error)
    return JSONResponse(status_code=status, content=masked({"error": error} | ({"field": field} if field else {})))
