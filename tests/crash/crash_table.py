"""Every point, and the story that reaches it. What the source has and this has not fails a test."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from crash_told import Arm
from waybill_events.catalogue import SUBSCRIPTIONS

Reach = Literal["story", "birth", "poison", "tool"]
"""Armed while a story runs; armed from its first moment; by a message that is none; in a tool."""

VARIANTS = ("killed before", "killed after", "failing", "paused")
SPEAKERS = ("capture", "inventory", "payment", "fulfillment", "notification")
"""Services that publish. Tracking only listens."""


@dataclass(frozen=True, slots=True)
class Row:
    """A point and how to get there. `also` are arms that lead the service to it."""

    label: str
    story: str = "bought"
    reach: Reach = "story"
    tool: str = ""
    subject: str = ""
    also: tuple[Arm, ...] = ()
    alone: bool = False
    """It stops every service for a moment: no other case is under way beside it."""

    @property
    def service(self) -> str:
        return self.label.partition("/")[0]

    @property
    def site(self) -> str:
        """The call in the source that this is a point of."""
        return self.label.partition("/")[2].partition(" ")[0]


@dataclass(frozen=True, slots=True)
class Case:
    """One row, one variant, once or with everything delivered again afterwards."""

    row: Row
    variant: str
    redelivered: bool

    @property
    def id(self) -> str:
        return f"{self.row.label} | {self.variant} | {'again' if self.redelivered else 'once'}"

    @property
    def arms(self) -> Sequence[Arm]:
        """A port's failure and a pause come before the first delivery's deed, after the second's:
        so each is tried on both sides.
        """
        match self.variant:
            case "killed before":
                arm = Arm(label=self.row.label, moment="before", act="kill")
            case "killed after":
                arm = Arm(label=self.row.label, moment="after", act="kill")
            case "failing":
                moment = "after" if self.redelivered else "before"
                arm = Arm(label=self.row.label, moment=moment, act="raise")
            case _:
                moment = "after" if self.redelivered else "before"
                arm = Arm(label=self.row.label, moment=moment, act="stop")
        return (*self.row.also, arm)


def _surprise(label: str, times: int) -> tuple[Arm, ...]:
    return (Arm(label=label, moment="before", act="surprise", times=times),)


def _common() -> Iterator[Row]:
    """What every service does."""
    for service, topics in SUBSCRIPTIONS.items():
        yield Row(f"{service}/consumer.take", reach="birth")
        for topic in topics:
            yield Row(f"{service}/consumer.apply {topic}")
        yield Row(f"{service}/consumer.acknowledge")
        yield Row(f"{service}/consumer.look_at_ownership")
        yield Row(f"{service}/consumer.park", reach="poison")
    for service in SPEAKERS:
        yield Row(f"{service}/relay.run leadership", reach="birth")
        yield Row(f"{service}/relay.publish")
        yield Row(f"{service}/relay.mark")


def _jobs() -> Iterator[Row]:
    for kind, story in (
        ("capture.expire", "expired"),
        ("inventory.expire", "expired"),
        ("payment.authorize", "bought"),
        ("payment.capture", "bought"),
        ("payment.void", "cancelled"),
        ("payment.refund", "refunded"),
        ("payment.expire", "held_too_long"),
        ("fulfillment.deadline", "late"),
        ("fulfillment.label", "bought"),
        ("fulfillment.track", "lost"),
        ("notification.send", "bought"),
    ):
        service = kind.partition(".")[0]
        yield Row(f"{service}/jobs.claim {kind}", story)
        yield Row(f"{service}/jobs.record {kind}", story)
    for kind in ("payment.authorize", "notification.send"):
        service = kind.partition(".")[0]
        failing = _surprise(f"{service}/jobs.record {kind}", 2)
        yield Row(f"{service}/jobs.put_off {kind}", also=failing)


OWN = (
    Row("capture/api.place"),
    Row("capture/api.cancel", "cancelled"),
    Row("capture/api.erase", "erased"),
    Row("inventory/api.receive"),
    Row("inventory/api.adjust", "shelved"),
    Row("inventory/api.count", "shelved"),
    Row("inventory/api.set_reorder_point", "shelved"),
    Row("payment/api.refund", "refunded"),
    Row("payment/service.hear", "pending"),
    Row("payment/gateway.authorize"),
    Row("payment/gateway.capture"),
    Row("payment/gateway.void", "cancelled"),
    Row("payment/gateway.refund", "refunded"),
    Row("payment/gateway.lookup", "unanswered"),
    Row("fulfillment/api.accept"),
    Row("fulfillment/api.reject", "turned_down"),
    Row("fulfillment/api.pick", "picked_short"),
    Row("fulfillment/api.pack"),
    Row("fulfillment/api.ship"),
    Row("fulfillment/shipping.ask"),
    Row("fulfillment/shipping.settle"),
    Row("fulfillment/parcels.look"),
    Row("fulfillment/carrier.buy_labels"),
    Row("fulfillment/carrier.look_up"),
    Row("fulfillment/recipients.read"),
    Row("notification/api.write", "preferred"),
    Row("notification/email.send"),
    Row("notification/sms.send"),
    Row("notification/recipients.read"),
)

TOOLS = (
    Row("capture/rebuild.begin", reach="tool", tool="rebuild", subject="orders"),
    Row("tracking/rebuild.replay", reach="tool", tool="rebuild", subject="customer"),
    Row("tracking/rebuild.finish", reach="tool", tool="rebuild", subject="timeline"),
    Row("capture/rebuild.run", reach="tool", tool="lost", subject="orders"),
    Row("inventory/unpark.alone leadership", reach="tool", tool="retry"),
    Row("inventory/unpark.apply", reach="tool", tool="retry"),
    Row("inventory/unpark.repair", reach="tool", tool="repair"),
    Row("notification/setback.give_back", reach="tool", tool="give_back"),
    Row("notification/unpark.discard", reach="tool", tool="discard"),
    Row("tracking/auth.add", reach="tool", tool="add", subject="wb_crash2_of"),
    Row("tracking/auth.expire", reach="tool", tool="revoke", subject="wb_crash2_of"),
)

LOST_BUS = tuple(
    Row(label, reach="tool", tool="republish", alone=True)
    for label in (
        "payment/republish.republish leadership",
        "notification/republish.place",
        "capture/republish.unpublish",
        "capture/republish.republish",
    )
)

ROWS: Sequence[Row] = (*OWN, *_jobs(), *_common(), *TOOLS, *LOST_BUS)


def cases() -> Sequence[Case]:
    """Every row in every variant, each once and with everything delivered again."""
    return [
        Case(row, variant, redelivered)
        for row in ROWS
        for variant in VARIANTS
        for redelivered in (False, True)
    ]
