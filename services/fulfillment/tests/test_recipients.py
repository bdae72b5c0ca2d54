"""What fulfillment takes of a recipient, out of the answer that capture documents."""

import json
from pathlib import Path

from pydantic import TypeAdapter

from fulfillment.ports import Recipient
from fulfillment.testing.running import BUYER

CAPTURE_SAYS = Path(__file__).parents[3] / "docs" / "reference" / "openapi" / "capture.json"


def test_a_label_needs_an_address_and_nothing_else() -> None:
    schema = json.loads(CAPTURE_SAYS.read_text(encoding="utf-8"))["components"]["schemas"]
    (example,) = schema["RecipientView"]["examples"]
    assert TypeAdapter(Recipient).validate_python(example) == BUYER
