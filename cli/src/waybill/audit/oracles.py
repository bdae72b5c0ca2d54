"""All oracles, one per guarantee, in their order."""

from collections.abc import Callable, Sequence

from waybill.audit import (
    earned,
    goods,
    log,
    messages,
    money,
    orders,
    parcels,
    privacy,
    readmodels,
)
from waybill.audit.evidence import Evidence, Finding, Violation

Oracle = Callable[[Evidence], Finding]

ORACLES: Sequence[Oracle] = (
    orders.i1_no_order_is_lost,
    orders.i2_one_order_per_key,
    goods.i3_no_oversell,
    money.i4_no_double_charge,
    earned.i5_money_follows_the_goods,
    parcels.i6_one_shipment_per_reservation,
    orders.i7_nothing_is_stuck,
    readmodels.i8_views_equal_their_rebuild,
    log.i9_streams_are_whole,
    log.i10_published_and_applied_once,
    log.i11_order_is_kept,
    messages.i12_each_message_once,
    readmodels.i13_views_never_go_back,
    privacy.i14_no_personal_data,
    orders.i15_the_same_answer,
)


def judge(evidence: Evidence) -> Sequence[Finding]:
    """What each oracle says of the evidence; what one cannot make sense of is a violation."""
    return [_heard(oracle, evidence) for oracle in ORACLES]


def _heard(oracle: Oracle, evidence: Evidence) -> Finding:
    try:
        return oracle(evidence)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        guarantee = oracle.__name__.partition("_")[0].upper()
        why = f"the evidence makes no sense: {type(error).__name__} {error}"
        nonsense = Violation(guarantee, "nonsense", (), why)
        return Finding(guarantee, "what is looked at can be read", violations=[nonsense])
