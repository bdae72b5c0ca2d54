"""What an operator did, for the audit: one line on stderr for each change that leaves no event."""

import getpass

import structlog

log = structlog.get_logger("waybill.operator")


def note(what: str, **fields: object) -> None:
    """Say what was done, to what, by whom; never a secret, never a person's data."""
    log.warning(what, by=getpass.getuser(), **fields)
