"""What notification takes of a recipient, out of the answer that capture documents."""

import json
from pathlib import Path

from pydantic import TypeAdapter

from notification.ports import Recipient

CAPTURE_SAYS = Path(__file__).parents[3] / "docs" / "reference" / "openapi" / "capture.json"


def test_a_message_needs_a_way_to_reach_somebody_and_no_address() -> None:
    schema = json.loads(CAPTURE_SAYS.read_text(encoding="utf-8"))["components"]["schemas"]
    (example,) = schema["RecipientView"]["examples"]
    assert TypeAdapter(Recipient).validate_python(example) == Recipient(
        name="A. Buyer",
        locale="en-GB",
        email="buyer@example.com",
        phone="+442079460000",
        tracking_url="https://track.example/v1/track/trk_x",
    )
