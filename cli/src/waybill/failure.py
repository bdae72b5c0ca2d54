"""What goes wrong on one machine, told with its remedy."""

OK, FAILED, USAGE, NOT_FOUND, CONFLICT, UNAVAILABLE = range(6)
"""Exit codes of every waybill command, with the two below."""
UNCHECKED = 6
"""An audit that found nothing violated, and could not look at everything."""
INTERRUPTED = 130


class Failure(Exception):
    """Ends a command: `what` happened, the `remedy`, the last `lines` of a log if they help."""

    def __init__(
        self, what: str, remedy: str = "", *, code: int = FAILED, lines: tuple[str, ...] = ()
    ) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.code = code
        self.lines = lines
