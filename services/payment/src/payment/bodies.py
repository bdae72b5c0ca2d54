"""What staff send and get. Unknown fields are refused."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from waybill_runtime import cards

OrderId = Annotated[
    str, Field(pattern="^ord_[0-9a-z]{1,64}$", examples=["ord_01m84k8yhre00sxe1fx5ygf3kq"])
]


class RefundPayment(BaseModel):
    """Give captured money back."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={"examples": [{"amount_minor": 495, "reason": "goodwill"}]},
    )

    amount_minor: Annotated[int, Field(ge=1, le=10**12, strict=True)]
    reason: Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,63}$"), AfterValidator(cards.free_text)]


class Amounts(BaseModel):
    """Sums so far, in minor units. What is held now: authorized less captured, voided, expired."""

    due_minor: int
    authorized_minor: int
    captured_minor: int
    voided_minor: int
    expired_minor: int
    refunded_minor: int


class OperationView(BaseModel):
    """One call to the gateway. `status`: requested, unknown, approved or declined."""

    operation: str
    idempotency_key: str
    reference: str
    amount_minor: int
    status: str
    code: str | None
    requested_at: datetime
    settled_at: datetime | None


_PAYMENT: dict[str, JsonValue] = {
    "id": "pay_01m84k8yhre00sxe1fx5ygf3kq",
    "order_id": "ord_01m84k8yhre00sxe1fx5ygf3kq",
    "status": "authorized",
    "version": 3,
    "currency": "GBP",
    "amounts": {
        "due_minor": 2025,
        "authorized_minor": 2025,
        "captured_minor": 0,
        "voided_minor": 0,
        "expired_minor": 0,
        "refunded_minor": 0,
    },
    "authorization_expires_at": "2026-11-30T16:19:24Z",
    "reason": None,
    "operations": [
        {
            "operation": "authorize",
            "idempotency_key": "ord_01m84k8yhre00sxe1fx5ygf3kq:authorize:1",
            "reference": "ord_01m84k8yhre00sxe1fx5ygf3kq",
            "amount_minor": 2025,
            "status": "approved",
            "code": None,
            "requested_at": "2026-11-23T16:19:24Z",
            "settled_at": "2026-11-23T16:19:25Z",
        }
    ],
    "created_at": "2026-11-23T16:19:24Z",
}


class PaymentView(BaseModel):
    """A payment as it stands."""

    model_config = ConfigDict(json_schema_extra={"examples": [_PAYMENT]})

    id: str
    order_id: str
    status: str
    version: int
    currency: str
    amounts: Amounts
    authorization_expires_at: datetime | None
    reason: str | None
    operations: list[OperationView]
    created_at: datetime


class PaymentList(BaseModel):
    """The payments of one order: one, or none until the order was heard of."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"data": [_PAYMENT]}]})

    data: list[PaymentView]


class Hint(BaseModel):
    """What we take from a callback: which call to look up. The rest is the look-up's."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    idempotency_key: str = Field(pattern=r"^ord_[0-9a-z]{1,64}:[0-9a-z_:-]{1,150}$")

    @property
    def order_id(self) -> str:
        return self.idempotency_key.partition(":")[0]


def read_hint(body: bytes) -> Hint | None:
    """The hint in a callback's body; None when it speaks of no call of ours."""
    try:
        return Hint.model_validate_json(body)
    except ValidationError:
        return None
