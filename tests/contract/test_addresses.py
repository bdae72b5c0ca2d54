"""What capture takes as an e-mail address is what notification can write to."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from capture import fields
from notification.adapters.smtp import SmtpChannel
from notification.ports import Outgoing

GOOD = (
    "buyer@example.com",
    "jane.roe+shop@mail.example.co.uk",
    "o'neil@example.com",
    "a!b#c$d%e&f*g/h=i?j^k_l`m{n|o}p~q-r@example.com",
    "1@xn--bcher-kva.example",
)
UNSENT = (
    "m\u00fcller@example.com",
    "a,b@example.com",
    "a;b@example.com",
    "<b@example.com>",
    "<b>@example.com",
    '"a"@example.com',
    "\N{PACKAGE}@example.com",
    "a b@example.com",
    "a@b@example.com",
    "a@b\u00fccher.example",
    "buyer@example.com\n",
    f"{'x' * 65}@example.com",
    "@example.com",
    "a@",
    "",
)
PARTS = st.text(st.sampled_from("ab.-+_@'\"<>(),;:\\ \n\u00fc\N{PACKAGE}"), max_size=8)


def taken(address: str) -> bool:
    try:
        return fields.email(address) == address
    except ValueError:
        return False


def written_to(address: str) -> str:
    """The head of the mail to an address, as a relay gets it."""
    channel = SmtpChannel("127.0.0.1", 1, sender="shop@example.com", timeout_s=1)
    message = Outgoing(message_id="msg_1", to=address, subject="s", text="t")
    return channel._mail(message).as_bytes().decode("ascii").partition("\n\n")[0]


@pytest.mark.parametrize("address", GOOD)
def test_an_address_of_one_mailbox_is_taken_and_written_to(address: str) -> None:
    assert taken(address)
    assert f"To: {address}\n" in written_to(address)


@pytest.mark.parametrize("address", UNSENT)
def test_what_no_mail_can_reach_is_told_at_the_door(address: str) -> None:
    with pytest.raises(ValueError, match=r"such as buyer@example\.com"):
        fields.email(address)


@given(
    st.builds("{}@{}".format, PARTS, st.sampled_from(["a.b", "a.b.c", "a", "-.-", "..", "a.b\n"]))
)
@example("a..b@example.com")
@example(".a@example.com")
@example("a.@example.com")
def test_whatever_is_taken_can_be_written_to(address: str) -> None:
    if taken(address):
        assert f"To: {address}\n" in written_to(address)
