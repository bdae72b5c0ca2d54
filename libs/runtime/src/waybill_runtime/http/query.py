"""What may stand behind the question mark: the route's own parameters, with values they can have.

A mistyped filter that is ignored answers with everything; a value that nothing has, with nothing.
"""

from collections.abc import Collection, Iterator

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from waybill_runtime.http.problem import FieldError, Refused, invalid

ERRORS_MAX = 20


def check_known(request: Request) -> None:
    """Refuse parameters that the route does not declare.

    Not for routes without a key: mail clients and providers add parameters of their own to links.

    Raises:
        Refused: 422, naming each of them and those that there are.
    """
    if not request.query_params:
        return
    known = _declared(request.scope["route"])
    unknown = [name for name in request.query_params if name not in known]
    if not unknown:
        return
    there_is = f"There is: {', '.join(known)}." if known else "There is none here."
    detail = f"This query parameter is unknown. {there_is}"
    errors = [FieldError(pointer=f"query:{name}", detail=detail) for name in unknown[:ERRORS_MAX]]
    named = ", ".join(name[:64] for name in unknown[:5])
    text = f"Unknown query parameters: {named}. {there_is}"
    raise Refused(422, "invalid-request", text, errors=errors)


def check_value(name: str, value: str | None, values: Collection[str]) -> None:
    """Refuse a filter's value that nothing can have; None is no filter.

    Raises:
        Refused: 422, naming the values there are.
    """
    if value is not None and value not in values:
        raise invalid(f"query:{name}", f"Nothing can have this value. Use {', '.join(values)}.")


def _declared(route: APIRoute) -> tuple[str, ...]:
    return tuple(sorted(set(_names(route.dependant))))


def _names(dependant: Dependant) -> Iterator[str]:
    for field in dependant.query_params:
        yield field.alias
    for inner in dependant.dependencies:
        yield from _names(inner)
