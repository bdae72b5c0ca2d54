"""Single services of a running home, stopped on purpose: which, and how its supervisor hears of it.

The names stand in a file; a signal has the supervisor read it. The next supervisor starts all.
"""

import signal
from collections.abc import Collection

from waybill import home as homes
from waybill import state

SIGNAL = signal.SIGUSR1


def stopped(home: homes.Home) -> frozenset[str]:
    """The services that are to stand still."""
    try:
        return frozenset((home.run / "stopped").read_text().split())
    except FileNotFoundError:
        return frozenset()


def ask(home: homes.Home, names: Collection[str]) -> None:
    """Have the supervisor stop these services and start all others."""
    homes.write_whole(home.run / "stopped", "".join(f"{name}\n" for name in sorted(names)))
    supervisor = state.read(home).supervisor.process()
    if supervisor is not None:
        supervisor.send_signal(SIGNAL)


def forget(home: homes.Home) -> None:
    """All are to run, as at a start."""
    (home.run / "stopped").unlink(missing_ok=True)
