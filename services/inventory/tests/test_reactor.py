"""What inventory makes of others' facts: every example it subscribes to means one command."""

import json
from pathlib import Path

import pytest

from inventory import reactor
from inventory.decider import commands
from waybill_events.catalogue import CATALOGUE

EXAMPLES = Path(__file__).parents[3] / "libs" / "events" / "examples"
CASES = sorted(path for type_ in CATALOGUE for path in (EXAMPLES / type_).glob("*.json"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_example_means_one_command_or_none(path: Path) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))["data"]
    event = CATALOGUE[path.parent.name].model.model_validate(data)
    meant = reactor.react(event)
    assert len(meant) == (1 if path.parent.name in reactor.HANDLES else 0)
    for order_id, command in meant:
        assert order_id == data["order_id"]
        assert isinstance(command, commands.Command)
