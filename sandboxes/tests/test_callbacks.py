"""The outbox: lanes keep their order, tries and queue have an end."""

from datetime import UTC, datetime, timedelta

from waybill_sandboxes import callbacks, clock

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def message(number: int, lane: str = "a") -> callbacks.Callback:
    return callbacks.Callback(
        id=f"m{number}", lane=lane, url="http://merchant.test", body=b"{}", due_at=NOW
    )


def ids(taken: list[callbacks.Callback]) -> list[str]:
    return [one.id for one in taken]


def test_a_lane_is_told_in_order_one_at_a_time() -> None:
    outbox = callbacks.Outbox()
    for number in (1, 2):
        outbox.add(message(number))
    outbox.add(message(3, lane="b"))

    first = outbox.take_due(NOW, 10)
    assert ids(first) == ["m1", "m3"]
    assert outbox.take_due(NOW, 10) == []
    outbox.told(first[0])
    assert ids(outbox.take_due(NOW, 10)) == ["m2"]


def test_a_failed_callback_comes_back_later_and_at_last_is_given_up() -> None:
    outbox = callbacks.Outbox(tries_max=3)
    outbox.add(message(1))
    outbox.add(message(2))
    waits_s = []
    now = NOW
    for _ in range(2):
        assert outbox.failed(outbox.take_due(now, 1)[0], now)
        due = outbox.next_due()
        assert due is not None
        waits_s.append((due - now).total_seconds())
        assert outbox.take_due(now, 1) == []
        now = due

    assert waits_s == [0.2, 0.4]
    assert not outbox.failed(outbox.take_due(now, 1)[0], now)
    assert ids(outbox.take_due(now, 1)) == ["m2"]


def test_a_full_outbox_drops_and_counts() -> None:
    outbox = callbacks.Outbox(limit=1)
    outbox.add(message(1))
    outbox.add(message(2))

    assert (len(outbox), outbox.dropped) == (1, 1)


def test_a_late_callback_is_overtaken_by_the_next_one() -> None:
    outbox = callbacks.Outbox()
    late = callbacks.CallbackFaults(late_callbacks=1.0, late_s=5)
    outbox.add_with_faults(message(1), late, clock.Dice(1))
    outbox.add(message(2))

    assert ids(outbox.take_due(NOW, 10)) == ["m2"]
    assert ids(outbox.take_due(NOW + timedelta(seconds=5), 10)) == ["m1"]


def test_the_signature_is_that_of_the_standard_webhooks_scheme() -> None:
    told = callbacks.signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp="1614265330",
        body=b'{"test": 2432232314}',
    )

    assert told == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
