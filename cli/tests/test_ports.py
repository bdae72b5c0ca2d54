"""Ports that stay, and what is said when one could not."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from waybill import ports
from waybill.ports import Ports


@pytest.fixture
def kept(tmp_path: Path) -> Ports:
    return Ports(tmp_path / "ports.json")


@pytest.fixture
def squatter() -> Iterator[socket.socket]:
    with socket.socket() as other:
        yield other


def test_a_port_that_somebody_took_meanwhile_is_told_with_the_new_one(
    kept: Ports, squatter: socket.socket
) -> None:
    was = kept.take("capture")
    kept.take("payment")
    before = kept.all()
    squatter.bind((ports.HOST, was))
    squatter.listen()
    now = kept.take("capture")
    kept.take("payment")
    assert ports.moved(before, kept.all()) == [
        f"port {was} is taken: capture is at {now} now; load dev.env again"
    ]


def test_ports_that_stayed_and_first_ones_are_not_spoken_of(kept: Ports) -> None:
    assert ports.moved({}, {"capture": kept.take("capture")}) == []
    before = kept.all()
    kept.take("capture")
    assert ports.moved(before, kept.all()) == []


def test_a_port_that_the_environment_names_was_moved_on_purpose(
    kept: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    was = kept.take("mail-smtp")
    monkeypatch.setenv("MAIL_SMTP_PORT", str(was + 1))
    assert ports.moved({"mail-smtp": was}, {"mail-smtp": was + 1}) == []
