"""What storefronts send and get. Unknown fields are refused; every limit is named."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from capture import addresses, fields
from waybill_runtime import cards
from waybill_runtime.http.text import printable, step

LINES_MAX = 1_000
_NOBODY = (
    "It is kept for ever, whoever is erased. Send what names no person, such as your shop's number."
)

Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(fields.clean)]
Short = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(printable)]
CurrencyCode = Annotated[
    str, Field(pattern="^[A-Z]{3}$", examples=["GBP"]), AfterValidator(fields.currency)
]
CountryCode = Annotated[
    str, Field(pattern="^[A-Z]{2}$", examples=["GB"]), AfterValidator(fields.country)
]
AmountMinor = Annotated[int, Field(ge=0, le=10**12, strict=True)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Customer(Body):
    ref: Short | None = None
    email: Annotated[str, Field(max_length=254), AfterValidator(fields.email)] | None = None
    phone: Annotated[str, Field(max_length=20), AfterValidator(fields.phone)] | None = None
    locale: Annotated[str, Field(pattern="^[a-z]{2}(-[A-Z]{2})?$")] = "en"


class Address(Body):
    name: Name
    company: Name | None = None
    line1: Name
    line2: Name | None = None
    city: Name
    region_code: Short | None = None
    postal_code: Annotated[str, Field(max_length=16), AfterValidator(fields.clean)] | None = None
    country_code: CountryCode


class OrderedLine(Body):
    sku: Annotated[Short, AfterValidator(step)]
    name: Name
    quantity: Annotated[int, Field(ge=1, le=100_000, strict=True)]
    unit_price_minor: AmountMinor


class Shipping(Body):
    option: Annotated[
        Short, Field(description="One that this shop ships by: standard, express by default.")
    ] = "standard"
    price_minor: AmountMinor = 0


class Payment(Body):
    method: Annotated[
        Short,
        Field(description=f"One of: {', '.join(fields.METHODS)}."),
        AfterValidator(fields.method),
    ] = "card"
    token: Short


class Total(Body):
    amount_minor: AmountMinor
    currency: CurrencyCode


class PlaceOrder(Body):
    """An order. The total is computed from the lines; one that is posted must agree."""

    external_ref: Short | None = None
    channel: Short = "web"
    currency: CurrencyCode
    customer: Customer
    shipping_address: Address
    lines: Annotated[list[OrderedLine], Field(min_length=1, max_length=LINES_MAX)]
    shipping: Shipping = Shipping()
    payment: Payment
    total: Total | None = None
    allow_partial: bool = False

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "external_ref": "536365",
                    "channel": "web",
                    "currency": "GBP",
                    "customer": {
                        "ref": "17850",
                        "email": "buyer@example.com",
                        "phone": "+442079460000",
                        "locale": "en-GB",
                    },
                    "shipping_address": {
                        "name": "A. Buyer",
                        "line1": "1 High Street",
                        "city": "London",
                        "postal_code": "N1 9GU",
                        "country_code": "GB",
                    },
                    "lines": [
                        {
                            "sku": "85123A",
                            "name": "White hanging heart t-light holder",
                            "quantity": 6,
                            "unit_price_minor": 255,
                        }
                    ],
                    "shipping": {"option": "standard", "price_minor": 495},
                    "payment": {"method": "card", "token": "tok_approve"},
                }
            ]
        }
    )

    @property
    def total_minor(self) -> int:
        goods = sum(line.quantity * line.unit_price_minor for line in self.lines)
        return goods + self.shipping.price_minor

    def faults(self, shipping_options: Sequence[str]) -> Iterator[tuple[str, str]]:
        """What the fields together get wrong in this shop, as (JSON pointer, what to do)."""
        if self.shipping.option not in shipping_options:
            known = ", ".join(shipping_options)
            yield "/shipping/option", f"We do not ship so. Send one of: {known}."
        address = self.shipping_address
        for field, remedy in addresses.faults(
            address.country_code, address.postal_code, address.region_code
        ):
            yield f"/shipping_address/{field}", remedy
        yield from self._persons()
        if self.total_minor > 10**12:
            yield "/lines", "The total is beyond what one order may cost."
        if self.total is not None and (self.total.amount_minor, self.total.currency) != (
            self.total_minor,
            self.currency,
        ):
            yield (
                "/total",
                f"The lines and shipping come to {self.total_minor} {self.currency}. "
                f'Send {{"amount_minor": {self.total_minor}, "currency": "{self.currency}"}}, '
                "or leave the total out.",
            )

    def _persons(self) -> Iterator[tuple[str, str]]:
        """Where somebody stands in what events keep for ever, which no erasure reaches."""
        customer = self.customer
        known = {self.shipping_address.name.casefold(): "name"}
        if customer.email is not None:
            known[customer.email.casefold()] = "email"
        if customer.phone is not None:
            known |= {customer.phone: "phone", customer.phone.removeprefix("+"): "phone"}
        references = {"/customer/ref": customer.ref, "/external_ref": self.external_ref}
        for pointer, said in references.items():
            if said is None:
                continue
            if (field := known.get(said.casefold())) is not None:
                yield pointer, f"This is the customer's {field}. {_NOBODY}"
            elif fields.holds_email(said):
                yield pointer, f"This holds an e-mail address. {_NOBODY}"
        for at, line in enumerate(self.lines):
            said = line.name.casefold()
            for field, reach in (("email", customer.email), ("phone", customer.phone)):
                if reach is not None and reach.casefold() in said:
                    yield f"/lines/{at}/name", f"This holds the customer's {field}. {_NOBODY}"


class CancelOrder(Body):
    reason: Annotated[
        str, Field(pattern="^[a-z][a-z0-9_]{0,63}$"), AfterValidator(cards.free_text)
    ] = "customer_request"

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "customer_request"}]})


class EraseRecipient(Body):
    """Forget one person: by order, or every order of a customer reference."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"order_id": "ord_01m84k8yhre00sxe1fx5ygf3kq"}]}
    )

    order_id: Short | None = None
    customer_ref: Short | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.order_id is None) == (self.customer_ref is None):
            raise ValueError("Give either order_id or customer_ref.")
        if self.order_id is not None and not re.match(r"^ord_\w", self.order_id):
            raise ValueError("order_id is no order's id: those begin with ord_.")
        return self


class TrackingLink(BaseModel):
    token: str
    url: str


class PlacedOrder(BaseModel):
    """The answer to a new order."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "ord_01m84k8yhre00sxe1fx5ygf3kq",
                    "status": "placed",
                    "version": 1,
                    "total": {"amount_minor": 2025, "currency": "GBP"},
                    "tracking": {"token": "trk_x", "url": "https://track.example/v1/track/trk_x"},
                    "created_at": "2026-11-23T16:19:24Z",
                }
            ]
        }
    )

    id: str
    status: str
    version: int
    total: Total
    tracking: TrackingLink
    created_at: datetime


class LineVector(BaseModel):
    """Where the units of a line are: ordered is the sum of the others but `delivered`."""

    ordered: int
    cancelled: int
    pending: int
    held: int
    allocated: int
    shipped: int
    delivered: int


class LineView(BaseModel):
    line_id: str
    sku: str
    name: str
    unit_price_minor: int
    quantities: LineVector


class OrderView(PlacedOrder):
    """An order as it stands."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "ord_01m84k8yhre00sxe1fx5ygf3kq",
                    "status": "confirmed",
                    "version": 3,
                    "total": {"amount_minor": 2025, "currency": "GBP"},
                    "tracking": {"token": "trk_x", "url": "https://track.example/v1/track/trk_x"},
                    "created_at": "2026-11-23T16:19:24Z",
                    "external_ref": "536365",
                    "channel": "web",
                    "payment_status": "authorized",
                    "charged_minor": 0,
                    "fulfillment_status": "in_progress",
                    "return_status": "none",
                    "cancellation": None,
                    "reason": None,
                    "lines": [
                        {
                            "line_id": "ln_1",
                            "sku": "85123A",
                            "name": "White hanging heart t-light holder",
                            "unit_price_minor": 255,
                            "quantities": {
                                "ordered": 6,
                                "cancelled": 0,
                                "pending": 0,
                                "held": 0,
                                "allocated": 6,
                                "shipped": 0,
                                "delivered": 0,
                            },
                        }
                    ],
                }
            ]
        }
    )

    external_ref: str | None
    channel: str
    payment_status: str
    charged_minor: int = 0
    """What was taken for it so far. Units that did not come are not charged."""
    fulfillment_status: str
    return_status: str
    cancellation: str | None
    reason: str | None
    lines: list[LineView]


class OrderSummary(BaseModel):
    id: str
    external_ref: str | None
    channel: str
    status: str
    total: Total
    created_at: datetime


class OrderPage(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "data": [
                        {
                            "id": "ord_01m84k8yhre00sxe1fx5ygf3kq",
                            "external_ref": "536365",
                            "channel": "web",
                            "status": "confirmed",
                            "total": {"amount_minor": 2025, "currency": "GBP"},
                            "created_at": "2026-11-23T16:19:24Z",
                        }
                    ],
                    "has_more": False,
                    "next_cursor": None,
                }
            ]
        }
    )

    data: list[OrderSummary]
    has_more: bool
    next_cursor: str | None


class Recipient(BaseModel):
    """Who an order goes to. Personal: never logged, never in an event."""

    name: str
    company: str | None
    line1: str
    line2: str | None
    city: str
    region_code: str | None
    postal_code: str | None
    country_code: str
    email: str | None
    phone: str | None
    locale: str


class RecipientView(Recipient):
    """A recipient, with the link that shows them their order."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "A. Buyer",
                    "company": None,
                    "line1": "1 High Street",
                    "line2": None,
                    "city": "London",
                    "region_code": None,
                    "postal_code": "N1 9GU",
                    "country_code": "GB",
                    "email": "buyer@example.com",
                    "phone": "+442079460000",
                    "locale": "en-GB",
                    "tracking_url": "https://track.example/v1/track/trk_x",
                }
            ]
        }
    )

    tracking_url: str


class Erased(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"erased": 1}]})

    erased: int
