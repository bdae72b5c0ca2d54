"""What an operator did, for the audit: one line on stderr for each change that leaves no event."""

import getpass

import structlog

from waybill.failure import USAGE, Failure

log = structlog.get_logger("waybill.operator")


def note(what: str, **fields: object) -> None:
    """Say what was done, to what, by whom; never a secret, never a person's data."""
    log.warning(what, by=who(), **fields)


def who() -> str:
    """Who acts, as it is kept: what USER says, else the account's own name.

    Asked before anything is done, where what was done is kept with a name.

    Raises:
        Failure: neither is known: in a container accounts are numbers.
    """
    try:
        return getpass.getuser()
    except (KeyError, OSError) as nameless:
        what = "Nothing was done: it is kept with a name, and nothing says who you are."
        raise Failure(what, "Set USER to your name.", code=USAGE) from nameless
