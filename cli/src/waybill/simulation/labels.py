"""Labels of the points at which a life may be ended, by service: `<service>/<module>.<function>`.

`tests/crash` lists all points from the source, and holds this list to those that a day reaches.
"""

from collections.abc import Mapping, Sequence

from waybill_events.catalogue import SUBSCRIPTIONS

_OF_ALL = (
    "consumer.acknowledge",
    "consumer.look_at_ownership",
    "consumer.park",
    "consumer.take",
)
_OF_SPEAKERS = ("relay.mark", "relay.publish", "relay.run leadership")
_OWN: Mapping[str, Sequence[str]] = {
    "capture": ("api.cancel", "api.erase", "api.place"),
    "inventory": ("api.adjust", "api.count", "api.receive", "api.set_reorder_point"),
    "payment": (
        "api.refund",
        "service.hear",
        "gateway.authorize",
        "gateway.capture",
        "gateway.lookup",
        "gateway.refund",
        "gateway.void",
    ),
    "fulfillment": (
        "api.accept",
        "api.pack",
        "api.pick",
        "api.reject",
        "api.ship",
        "carrier.buy_labels",
        "carrier.look_up",
        "parcels.look",
        "shipping.ask",
        "shipping.settle",
    ),
    "notification": ("api.write", "email.send", "sms.send"),
}
_JOBS: Mapping[str, Sequence[str]] = {
    "capture": ("expire",),
    "inventory": ("expire",),
    "payment": ("authorize", "capture", "expire", "refund", "void"),
    "fulfillment": ("deadline", "track"),
    "notification": ("send",),
}


def _of(service: str) -> Sequence[str]:
    speaks = () if service == "tracking" else _OF_SPEAKERS
    applied = [f"consumer.apply {topic}" for topic in SUBSCRIPTIONS[service]]
    jobs = [
        f"jobs.{deed} {service}.{kind}"
        for kind in _JOBS.get(service, ())
        for deed in ("claim", "record")
    ]
    return [
        f"{service}/{site}" for site in (*_OF_ALL, *speaks, *applied, *_OWN.get(service, ()), *jobs)
    ]


LABELS: Sequence[str] = [label for service in SUBSCRIPTIONS for label in _of(service)]
