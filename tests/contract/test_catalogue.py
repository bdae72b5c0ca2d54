"""The catalogue is one list that agrees with itself."""

import inspect
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from waybill.simulation import system
from waybill_events import capture, fulfillment, inventory, notification, payment, schemas
from waybill_events.catalogue import CATALOGUE, SUBSCRIPTIONS, TOPICS, Entry
from waybill_events.event import Event
from waybill_runtime.service import Service
from waybill_runtime.testing.seeded_loop import SeededLoop
from waybill_runtime.testing.world import World

ROOT = Path(__file__).parents[2]
SERVICES = {path.parent.name for path in ROOT.glob("services/*/pyproject.toml")}
MODULES = (capture, inventory, payment, fulfillment, notification)
PERSONAL = re.compile(
    r"(^|_)(name|email|e_mail|mail|phone|mobile|address|street|line1|line2|city|postal|postcode"
    r"|zip|birth\w*|card|pan|cvv|cvc|iban|ip)(_|$)"
)
# The name of a product, not of a person.
PRODUCT_NAMES = {("OrderLine", "name"), ("FulfillmentLine", "name")}

by_type = pytest.mark.parametrize("entry", CATALOGUE.values(), ids=CATALOGUE)


def shapes(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A model and every model inside it."""
    yield model
    for field in model.model_fields.values():
        for part in _models(field.annotation):
            yield from shapes(part)


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from _models(part)


def snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def is_personal(shape: str, field: str) -> bool:
    return bool(PERSONAL.search(field)) and (shape, field) not in PRODUCT_NAMES


@by_type
def test_a_type_is_named_for_its_producer_and_its_class(entry: Entry) -> None:
    expected = rf"{entry.producer}\.{snake(entry.model.__name__)}\.v[1-9][0-9]*"
    assert re.fullmatch(expected, entry.model.TYPE)


@by_type
def test_a_topic_is_known_and_everyone_named_is_a_service_that_reads_it(entry: Entry) -> None:
    assert entry.topic in TOPICS
    assert entry.producer in SERVICES
    for consumer in schemas.consumers(entry):
        assert entry.topic in SUBSCRIPTIONS[consumer]


@pytest.fixture(scope="module")
def heard() -> Mapping[str, set[str]]:
    """The types of others that each service takes up, for its handler or a view of its own."""
    loop = SeededLoop.of(1)

    async def told() -> Mapping[str, set[str]]:
        world = World()
        whole = system.make(world, loop)
        found = {}
        for name in SERVICES:
            on = world.infrastructure(name)
            service = Service(system.COMPOSE[name](whole, on, whole.outside), on)
            found[name] = {type_ for type_ in service.handles if CATALOGUE[type_].producer != name}
            await service.blueprint.close()
        return found

    return loop.run(told())


@pytest.mark.parametrize("service", sorted(SERVICES - {"tracking"}))
def test_a_service_takes_up_exactly_what_the_catalogue_names_it_for(
    heard: Mapping[str, set[str]], service: str
) -> None:
    named = {type_ for type_, entry in CATALOGUE.items() if service in entry.consumers}
    assert named == heard[service]


@pytest.mark.parametrize("service", sorted(SERVICES - {"tracking"}))
def test_a_services_card_lists_what_it_listens_to(
    heard: Mapping[str, set[str]], service: str
) -> None:
    card = (ROOT / "services" / service / "README.md").read_text()
    section = card.partition("## Listens")[2].partition("\n## ")[0]
    names = {entry.model.__name__ for entry in CATALOGUE.values()}
    told = set(re.findall(r"\w+", section)) & names
    assert told == {CATALOGUE[type_].model.__name__ for type_ in heard[service]}


def test_topics_and_subscriptions_name_only_services_and_topics() -> None:
    assert set(TOPICS.values()) < SERVICES
    assert SUBSCRIPTIONS.keys() == SERVICES
    assert {topic for topics in SUBSCRIPTIONS.values() for topic in topics} <= TOPICS.keys()


@pytest.mark.parametrize(
    ("topic", "union", "elsewhere"),
    [
        ("orders", capture.OrderEvent, {capture.RecipientErased}),
        ("inventory", inventory.ReservationEvent, set()),
        ("stock", inventory.StockEvent, set()),
        ("fulfillment", fulfillment.FulfillmentEvent, set()),
        ("payments", payment.PaymentEvent, set()),
        ("notifications", notification.MessageEvent, {notification.ContactPreferenceChanged}),
    ],
)
def test_what_a_stream_says_is_one_union_that_its_fold_matches_whole(
    topic: str, union: object, elsewhere: set[type[Event]]
) -> None:
    """A new type comes into its union, and so before the fold: there the type check stops."""
    said = get_args(union)
    of_topic = {entry.model for entry in CATALOGUE.values() if entry.topic == topic}
    assert set(said) == of_topic - elsewhere
    assert len(said) == len(set(said))


def test_every_event_class_is_in_the_catalogue_once() -> None:
    written = {
        value
        for module in MODULES
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Event) and value is not Event
    }
    assert {entry.model for entry in CATALOGUE.values()} == written
    assert len({model.TYPE for model in written}) == len(written)


@by_type
def test_no_field_looks_like_personal_data(entry: Entry) -> None:
    suspects = [
        (shape.__name__, field)
        for shape in shapes(entry.model)
        for field in shape.model_fields
        if is_personal(shape.__name__, field)
    ]
    assert suspects == []


@pytest.mark.parametrize("field", ["name", "recipient_email", "phone_number", "card", "ip"])
def test_a_field_that_looks_like_personal_data_is_seen(field: str) -> None:
    assert is_personal("Recipient", field)


@by_type
def test_money_is_whole_minor_units_and_names_its_unit(entry: Entry) -> None:
    for shape in shapes(entry.model):
        for field, said in shape.model_fields.items():
            if re.search(r"amount|price|total|authorized|captured|refunded|cost|fee", field):
                assert field.endswith("_minor")
            if field.endswith("_minor"):
                assert said.annotation is int


@by_type
def test_an_event_with_money_names_its_currency_or_its_orders_stream_does(entry: Entry) -> None:
    fields = entry.model.model_fields
    if any(field.endswith("_minor") for field in fields):
        assert "currency" in fields or entry.topic == "orders"


@by_type
def test_times_need_an_offset(entry: Entry) -> None:
    for shape in shapes(entry.model):
        for said in shape.model_fields.values():
            if said.annotation is not datetime:
                continue
            assert said.metadata, "a bare datetime takes times without an offset"
            moment: TypeAdapter[datetime] = TypeAdapter(said.rebuild_annotation())
            with pytest.raises(ValidationError):
                moment.validate_json('"2026-11-23T16:19:23"')


@by_type
def test_an_event_has_the_field_that_its_topic_is_keyed_by(entry: Entry) -> None:
    assert schemas.key_field(entry) in entry.model.model_fields


@by_type
def test_shapes_are_frozen_and_ignore_what_a_newer_writer_adds(entry: Entry) -> None:
    for shape in shapes(entry.model):
        assert shape.model_config.get("frozen") is True
        assert shape.model_config.get("extra") == "ignore"
