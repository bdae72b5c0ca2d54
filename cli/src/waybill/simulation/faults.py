"""What may go wrong in a simulated day, and when: the whole plan is drawn before the day begins.

A fault strikes at the first moment of its kind at its target after its time: the next message that
a service sends, the next commit, the next call outside, the labelled point that it names. Those of
the moment `operator` strike at their time exactly. A plan is data: it is printed, cut down and run
again.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from waybill.programs import SERVICES
from waybill.simulation.labels import LABELS

OVERLAP = 0.3
"""The part of all draws that is placed inside the fault before it, on purpose."""
WRITERS = ("capture", "inventory", "payment", "fulfillment", "notification")
SERVERS = ("capture", "fulfillment")
ANYWHERE = ("anywhere",)
FOREIGN = ("orders", "inventory", "payments", "fulfillment")
"""Topics that somebody else writes to by mistake."""
SENDERS = (*WRITERS, *ANYWHERE * 5)
"""Half of what goes wrong with messages goes wrong with whoever sends next."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong: when at the earliest, what, where; `amount` as its kind says."""

    number: int
    at_s: float
    kind: str
    target: str
    amount: float

    def __str__(self) -> str:
        return f"{self.number}: {self.at_s:.2f} s {self.kind} {self.target} {self.amount:g}"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault: the moment it waits for, how often it is drawn, and how much of it."""

    name: str
    moment: str
    targets: Sequence[str]
    weight: float
    least: float = 0.0
    most: float = 0.0

    def draw(self, dice: random.Random, number: int, at_s: float) -> Fault:
        amount = round(dice.uniform(self.least, self.most), 3)
        return Fault(number, at_s, self.name, dice.choice(self.targets), amount)


BIG: Sequence[Kind] = (
    # The process: amount is how many seconds it is down, stands still, or has company.
    Kind("kill", "operator", SERVICES, 3, 0.2, 2.0),
    Kind("kill before commit", "commit.before", SERVICES, 2, 0.2, 2.0),
    Kind("kill after commit", "commit.after", SERVICES, 2, 0.2, 2.0),
    Kind("kill before send", "send", WRITERS, 1, 0.2, 2.0),
    Kind("kill after send", "send", WRITERS, 2, 0.2, 2.0),
    Kind("kill in send", "send", WRITERS, 1, 0.2, 2.0),
    Kind("kill before effect", "effect", ("payment",), 1, 0.2, 2.0),
    Kind("kill after effect", "effect", ("payment",), 2, 0.2, 2.0),
    Kind("kill before a point", "point.before", LABELS, 3, 0.2, 2.0),
    Kind("kill after a point", "point.after", LABELS, 3, 0.2, 2.0),
    Kind("pause", "operator", SERVICES, 3, 2.5, 8.0),
    Kind("replica", "operator", SERVICES, 2, 1.0, 6.0),
    Kind("clock jump", "operator", SERVICES, 2, -3600.0, 3600.0),
    # Whole parts away, for so many seconds.
    Kind("bus away", "operator", (*SERVICES, "everywhere"), 2, 0.5, 4.0),
    Kind("store away", "operator", SERVICES, 2, 0.5, 4.0),
    Kind("carrier away", "operator", ANYWHERE, 1, 0.5, 4.0),
    # Read models and what cannot be read; mended after so many seconds.
    Kind("rebuild", "operator", ("capture", "fulfillment", "notification", "tracking"), 2),
    Kind("unreadable event", "handle", SERVICES, 2, 0.5, 4.0),
    Kind("foreign message", "operator", FOREIGN, 1),
)

SMALL: Sequence[Kind] = (
    Kind("message doubled", "message", SENDERS, 14, 2, 6),
    Kind("batch doubled", "send", SENDERS, 5),
    Kind("send late", "send", SENDERS, 5, 0.05, 1.5),
    Kind("send refused", "send", SENDERS, 4),
    Kind("answer lost", "send", SENDERS, 5),
    Kind("half a batch", "send", SENDERS, 4, 0.0, 1.0),
    Kind("old message again", "message", SENDERS, 10, 1, 20),
    Kind("poll late", "poll", SERVICES, 3, 0.1, 3.5),
    Kind("poll refused", "poll", SERVICES, 5),
    Kind("position rewound", "poll", SERVICES, 8, 1, 12),
    Kind("begin refused", "begin", SERVICES, 4),
    Kind("lock time-out", "begin", SERVICES, 4),
    Kind("commit refused", "commit.before", SERVICES, 5),
    Kind("commit unknown, not made", "commit.before", SERVICES, 4),
    Kind("commit unknown, made", "commit.after", SERVICES, 5),
    Kind("version conflicts", "streams.append", WRITERS, 4, 1, 6),
    Kind("gateway loses a request", "gateway", ANYWHERE, 5),
    Kind("gateway loses an answer", "gateway", ANYWHERE, 6),
    Kind("gateway keeps an error", "gateway", ANYWHERE, 4),
    Kind("gateway slow", "effect", ("payment",), 1, 0.5, 30.0),
    Kind("gateway calls back", "effect", ("payment",), 4, 0.05, 3.0),
    Kind("carrier loses a request", "carrier", ANYWHERE, 2),
    Kind("carrier loses an answer", "carrier", ANYWHERE, 3),
    Kind("carrier calls back", "scan", ANYWHERE, 3, 0.0, 3.0),
    Kind("mail loses a message", "mail", ANYWHERE, 2),
    Kind("mail loses an answer", "mail", ANYWHERE, 3),
    Kind("request lost", "request", SERVERS, 4),
    Kind("response lost", "request", SERVERS, 5),
    Kind("request late", "request", SERVERS, 4, 0.05, 2.0),
    Kind("posted twice at once", "post", ANYWHERE, 4, 2, 5),
    Kind("client goes away", "post", ANYWHERE, 4, 1, 60),
    Kind("cancelled twice at once", "post", ANYWHERE, 3, 0, 40),
)

KINDS = {kind.name: kind for kind in (*BIG, *SMALL)}
BIG_EVERY = 12
"""One draw in so many is of the big kinds, which end or start a process."""


def plan(seed: int, count: int, span_s: float) -> Sequence[Fault]:
    """So many faults within a day of `span_s` seconds, in the order of their times."""
    dice = random.Random(f"faults of {seed}")
    drawn: list[Fault] = []
    at_s = 0.0
    for number in range(count):
        big = number % BIG_EVERY == BIG_EVERY // 2
        kinds = BIG if big else SMALL
        kind = dice.choices(kinds, [kind.weight for kind in kinds])[0]
        if not drawn or dice.random() >= OVERLAP:
            at_s = dice.uniform(0.0, span_s)
        else:
            at_s = min(span_s, drawn[-1].at_s + dice.uniform(0.0, 0.3))
        drawn.append(kind.draw(dice, number, round(at_s, 4)))
    return sorted(drawn, key=lambda fault: fault.at_s)
