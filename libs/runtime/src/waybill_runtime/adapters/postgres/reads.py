"""Reads written with SQLAlchemy Core, compiled once to the `$1` style and run on our own pool."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy import Dialect
from sqlalchemy.dialects.postgresql import ARRAY, asyncpg

if TYPE_CHECKING:
    from waybill_runtime.adapters.postgres.session import Row, Session

_DIALECT: Dialect = asyncpg.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's own gap


class Read:
    """A compiled statement and the order of its parameters."""

    def __init__(self, name: str, sql: str, parameters: list[str]) -> None:
        self._sql = f"/* {name} */ {sql}"
        self._parameters = parameters

    async def read(self, session: "Session", **values: object) -> "list[Row]":
        """The rows for these values, one for each name that was bound."""
        return await session.read(self._sql, *(values[name] for name in self._parameters))


def compiled(name: str, statement: sa.Select[tuple[object, ...]]) -> Read:
    """The statement, ready to run; every parameter of it must be a named `bindparam`."""
    result = statement.compile(dialect=_DIALECT)
    return Read(name, str(result), list(result.positiontup or ()))


def texts(name: str) -> sa.BindParameter[Sequence[str]]:
    """A parameter that is a list of texts."""
    return sa.bindparam(name, type_=ARRAY(sa.Text))
