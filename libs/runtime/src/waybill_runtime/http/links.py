"""OpenAPI links: which answer leads on to which operation (OpenAPI 3.1, Link Object)."""

from collections.abc import Mapping
from typing import Any

SEEN = {"header.If-Match": "$response.header.ETag"}
"""For a command against the version that was answered."""


def onwards(status: int, **operations: Mapping[str, str]) -> dict[int | str, dict[str, Any]]:
    """A route's `responses`: after this status, these operations with these parameters."""
    links = {
        name: {"operationId": name, "parameters": dict(parameters)}
        for name, parameters in operations.items()
    }
    return {status: {"links": links}}
