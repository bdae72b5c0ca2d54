"""What a service says when something fails, and what it never says."""

import json
import subprocess
import sys

PROGRAM = """
import logging
import structlog
from waybill_runtime import logs

logs.configure("capture", "info")

def deliver(recipient):
    raise ValueError("the call failed")

for log in (structlog.get_logger("one"), logging.getLogger("two")):
    try:
        deliver("Ada Lovelace")
    except ValueError:
        log.exception("failed")
"""


def test_a_logged_failure_tells_where_it_was_and_no_value_it_held() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, check=True, text=True, timeout=60
    )
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [line["event"] for line in lines] == ["failed", "failed"]
    for line in lines:
        (raised,) = line["exception"]
        assert raised["exc_value"] == "the call failed"
        assert [frame["name"] for frame in raised["frames"]] == ["<module>", "deliver"]
    assert "Ada Lovelace" not in ran.stdout
