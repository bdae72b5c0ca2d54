"""All oracles, one per guarantee, in their order."""

from collections.abc import Callable, Sequence

from waybill.audit import goods, log, messages, money, orders, privacy
from waybill.audit.evidence import Evidence, Finding

ORACLES: Sequence[Callable[[Evidence], Finding]] = (
    orders.i1_no_order_is_lost,
    orders.i2_one_order_per_key,
    goods.i3_no_oversell,
    money.i4_no_double_charge,
    orders.i5_money_follows_the_goods,
    goods.i6_one_shipment_per_reservation,
    orders.i7_nothing_is_stuck,
    log.i8_views_equal_their_rebuild,
    log.i9_streams_are_whole,
    log.i10_published_and_applied_once,
    log.i11_order_is_kept,
    messages.i12_each_message_once,
    log.i13_views_never_go_back,
    privacy.i14_no_personal_data,
    orders.i15_the_same_answer,
)


def judge(evidence: Evidence) -> Sequence[Finding]:
    """What each oracle says of the evidence."""
    return [oracle(evidence) for oracle in ORACLES]
