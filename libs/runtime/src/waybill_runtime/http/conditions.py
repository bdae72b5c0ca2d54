"""Conditions on versions (RFC 9110 section 13, RFC 6585) and opaque cursors."""

import base64
import re
from typing import Annotated

from fastapi import Header, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from waybill_runtime.http.problem import FieldError, Refused

_TAG = r'\s*(W/)?"[^"]*"\s*'
_TAGS = re.compile(rf"\s*\*\s*|{_TAG}(,{_TAG})*")

PAGE = 20
PAGE_MAX = 100

IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", description="The ETag last seen, or * for any.", examples=['"3"']),
]
Cursor = Annotated[
    str | None, Query(max_length=300, description="`next_cursor` of the page before.")
]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="Most items on the page.")]


def etag(version: int) -> str:
    """The strong ETag of a version."""
    return f'"{version}"'


def check_match(if_match: str | None, version: int) -> None:
    """Let a command through only against the version its sender has seen.

    Raises:
        Refused: 428 without the header, 400 when it holds no ETag, 412 when the version has moved
            on.
    """
    if if_match is None:
        raise Refused(
            428,
            "precondition-required",
            'Send If-Match with the ETag you have seen, such as "3", or * for any.',
        )
    if not _TAGS.fullmatch(if_match):
        detail = 'If-Match is an ETag in its double quotes, such as "3", several of them, or *.'
        error = FieldError(pointer="header:If-Match", detail=detail)
        raise Refused(400, "invalid-if-match", detail, errors=[error])
    wanted = {tag.strip().removeprefix("W/") for tag in if_match.split(",")}
    if "*" not in wanted and etag(version) not in wanted:
        raise Refused(
            412,
            "version-moved-on",
            f"The version is {version} now. Read it again and decide anew.",
            headers={"ETag": etag(version)},
        )


def answer_read(request: Request, body: BaseModel, version: int) -> Response:
    """200 with an ETag, or 304 when the reader has this version already."""
    tag = etag(version)
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    known = request.headers.get("if-none-match", "")
    if tag in {part.strip().removeprefix("W/") for part in known.split(",")}:
        return Response(status_code=304, headers=headers)
    return Response(body.model_dump_json(), headers=headers, media_type="application/json")


def cursor_of(key: str) -> str:
    """An opaque cursor behind a key."""
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def key_of(cursor: str | None) -> str | None:
    """The key that a cursor stands for.

    Raises:
        Refused: 422, it is none of our cursors.
    """
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        key = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except ValueError:  # not ASCII, not base 64, not UTF-8: each has a subclass of its own
        key = ""
    if not key or not key.isprintable():  # Postgres has no text with a NUL
        raise Refused(422, "invalid-cursor", "Use `next_cursor` of the page before, unchanged.")
    return key
