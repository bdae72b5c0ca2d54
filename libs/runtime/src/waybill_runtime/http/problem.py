"""Every 4xx and 5xx is a problem document (RFC 9457) with a stable type and per-field errors."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from waybill_runtime.bus import BusUnavailable
from waybill_runtime.http import kinds, text
from waybill_runtime.http.kinds import Kind
from waybill_runtime.stored import CommitUnknown, LockTimeout, StoreUnavailable, VersionConflict

log = structlog.get_logger("waybill.http")

CONTENT_TYPE = "application/problem+json"


class FieldError(BaseModel):
    """What is wrong with one field. `pointer` is a JSON Pointer (RFC 6901) into the body.

    What is not in the body is told apart by its lack of a leading `/`: `query:status`,
    `path:sku`, `header:If-Match`.
    """

    pointer: str
    detail: str


class Problem(BaseModel):
    """The body of every refusal."""

    type: str = Field(
        description="Decide by this. Others may come: read one that is not here by its status.",
        json_schema_extra={"enum": [kinds.urn(kind) for kind in kinds.KINDS]},
    )
    title: str
    status: int
    detail: str
    instance: str | None = None
    errors: list[FieldError] | None = None
    request_id: str | None = None


class Refused(Exception):
    """A request that is answered with a problem. The kind is the stable part of it.

    `members` are further members of the problem document (RFC 9457 section 3.2).
    """

    def __init__(
        self,
        status: int,
        kind: Kind,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}
        self.members = members or {}


def invalid(pointer: str, detail: str) -> Refused:
    """422 for one field: where it is, what is wrong, what would be right."""
    return Refused(
        422, "invalid-request", detail, errors=[FieldError(pointer=pointer, detail=detail)]
    )


def not_found(what: str) -> Refused:
    return Refused(404, "not-found", f"There is no {what}.")


def document(
    status: int,
    kind: Kind,
    detail: str,
    *,
    instance: str | None = None,
    errors: Sequence[FieldError] = (),
    request_id: str | None = None,
) -> Problem:
    """What is answered, without further members."""
    return Problem(
        type=kinds.urn(kind),
        title=kind.replace("-", " ").capitalize(),
        status=status,
        detail=detail,
        instance=instance,
        errors=list(errors) or None,
        request_id=request_id,
    )


def respond(request: Request, refused: Refused) -> Response:
    """The problem document of a refusal."""
    problem = document(
        refused.status,
        refused.kind,
        refused.detail,
        instance=request.url.path,
        errors=refused.errors,
        request_id=request.scope.get("request_id"),
    )
    whole = problem.model_dump(exclude_none=True) | dict(refused.members)
    return Response(
        json.dumps(whole, ensure_ascii=False, separators=(",", ":")),
        status_code=refused.status,
        media_type=CONTENT_TYPE,
        headers=dict(refused.headers),
    )


_BUSY = {"Retry-After": "1"}


_MEND: Mapping[str, str] = {
    "extra_forbidden": "This field is unknown. Leave it out.",
    "missing": "This field is required. Send it.",
    "bool_parsing": "Send true or false.",
    "bool_type": "Send true or false.",
    "dict_type": "Send a JSON object.",
    "greater_than": "Send a number above {gt}.",
    "greater_than_equal": "Send a number of at least {ge}.",
    "int_from_float": "Send a whole number, without a fraction.",
    "int_parsing": "Send a whole number.",
    "int_parsing_size": "Send a whole number, of fewer digits.",
    "int_type": "Send a whole number, without quotes or a fraction.",
    "less_than": "Send a number below {lt}.",
    "less_than_equal": "Send a number of at most {le}.",
    "list_type": "Send a list.",
    "literal_error": "Send one of {expected}.",
    "model_attributes_type": "Send a JSON object.",
    "model_type": "Send a JSON object.",
    "string_too_long": "Send at most {max_length} characters.",
    "string_too_short": "Send a text of at least {min_length} in length.",
    "string_type": "Send text.",
    "too_long": "Send at most {max_length} of them.",
    "too_short": "Send at least {min_length} of them.",
    "string_unicode": "This text is no Unicode: it holds half of a surrogate pair. Send UTF-8.",
}
_SHAPES: Mapping[str, str] = {
    "^[A-Z]{2}$": "Write two capital letters, such as GB.",
    "^[A-Z]{3}$": "Write three capital letters, such as GBP.",
    "^[a-z]{2}(-[A-Z]{2})?$": "Write a language, alone or with a country, such as en or en-GB.",
    "^[a-z][a-z0-9_]{0,63}$": "Write small letters, digits and _, such as customer_request.",
    "^[a-z][a-z0-9_-]{0,63}$": "Write small letters, digits, - and _, such as standard.",
    text.PRINTABLE: "Control characters are not accepted here.",
}
"""Shapes of text in words; others are shown as the patterns they are."""
_NO_OBJECT = frozenset({"missing", "model_attributes_type", "model_type", "dict_type"})


def _from_validation(request: Request, error: RequestValidationError) -> Refused:
    found = error.errors()
    if refused := _from_body(request, found[0]):
        return refused
    errors = []
    for fault in found[:20]:
        place = [str(part) for part in fault["loc"]]
        where = _pointer(place[1:]) if place[0] == "body" else f"{place[0]}:{place[-1]}"
        errors.append(FieldError(pointer=where, detail=_mend(fault)))
    fields = ", ".join(e.pointer or "the body" for e in errors[:5])
    return Refused(422, "invalid-request", f"Please mend {fields}.", errors=errors)


def _mend(fault: Mapping[str, Any]) -> str:
    """What would be right, with the limit in it; never only that something is wrong."""
    context = fault.get("ctx", {})
    if fault["type"] == "string_pattern_mismatch":
        pattern = context["pattern"]
        return _SHAPES.get(pattern, f"Write it as the pattern {pattern} says.")
    if (mend := _MEND.get(fault["type"])) is not None:
        return mend.format_map(context)
    return str(fault["msg"]).removeprefix("Value error, ")


def _from_body(request: Request, fault: Mapping[str, Any]) -> Refused | None:
    """The refusal of a body that is no JSON object at all."""
    if fault["type"] == "json_invalid":
        reason, at = fault["ctx"]["error"], fault["loc"][-1]
        detail = f"The body is not JSON: {reason}, at character {at}. Send a JSON object."
        return invalid("", detail)
    if tuple(fault["loc"]) != ("body",) or fault["type"] not in _NO_OBJECT:
        return None
    if fault["type"] == "missing":
        return invalid("", "The body is empty. Send a JSON object.")
    sent = request.headers.get("content-type", "")
    if "json" not in sent.lower():
        said = f"not {sent.partition(';')[0]}" if sent else "which is missing"
        detail = f"Send JSON, with the header Content-Type: application/json, {said}."
        return Refused(415, "unsupported-media-type", detail)
    return invalid("", "The body is JSON, but no object. Send a JSON object.")


def _pointer(parts: Sequence[str]) -> str:
    """A JSON Pointer, escaped (RFC 6901 section 3); a key that is no Unicode is made readable."""
    escaped = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)
    return escaped.encode("utf-8", "replace").decode()


def _from_status(request: Request, error: HTTPException) -> Refused | None:
    """What the framework refuses by itself; None for what it never does."""
    match error.status_code:
        case 400:
            detail = "The body could not be read. Send a JSON object in UTF-8."
            return Refused(400, "bad-request", detail, headers=error.headers)
        case 404:
            detail = f"There is nothing at {request.url.path}. The paths are listed at /docs."
            return Refused(404, "not-found", detail, headers=error.headers)
        case 405:
            detail = f"{request.method} is not possible here. Use one of the methods in Allow."
            return Refused(405, "method-not-allowed", detail, headers=error.headers)
        case _:
            return None


def install(app: FastAPI) -> None:
    """Answer every exception with a problem document; nothing of the inside shows."""

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> Response:
        return respond(request, error)

    @app.exception_handler(RequestValidationError)
    async def unprocessable(request: Request, error: RequestValidationError) -> Response:
        return respond(request, _from_validation(request, error))

    @app.exception_handler(HTTPException)
    async def status(request: Request, error: HTTPException) -> Response:
        if (refused := _from_status(request, error)) is not None:
            return respond(request, refused)
        return await unexpected(request, error)

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, _: Exception) -> Response:
        detail = "The connection ended before the body did. Send the request again."
        return respond(request, Refused(400, "body-cut-off", detail))  # into the log, if anywhere

    @app.exception_handler(VersionConflict)
    @app.exception_handler(LockTimeout)
    async def contended(request: Request, _: Exception) -> Response:
        detail = "Others are changing this right now. Send the same request again."
        return respond(request, Refused(503, "contended", detail, headers=_BUSY))

    @app.exception_handler(StoreUnavailable)
    @app.exception_handler(CommitUnknown)
    @app.exception_handler(BusUnavailable)
    async def unavailable(request: Request, _: Exception) -> Response:
        detail = "Not available right now. Send the same request again, with the same key."
        return respond(request, Refused(503, "unavailable", detail, headers=_BUSY))

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        # The route, not the path: that may hold a tracking token.
        route = getattr(request.scope.get("route"), "path", "unmatched")
        log.error("unexpected error", route=route, exc_info=error)
        detail = "Something went wrong on our side. It is logged under the request id."
        return respond(request, Refused(500, "unexpected", detail))
