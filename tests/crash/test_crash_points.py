"""Thirty of the crash points, on a real Postgres, in one go; `make crash-points` runs them all."""

from collections.abc import Sequence
from pathlib import Path

import pytest

import crash_run
from crash_cases import Result
from crash_table import VARIANTS, Case, cases
from waybill.embedded.fixtures import TestPostgres
from waybill.proof import GUARANTEES

CHOSEN: Sequence[tuple[str, Sequence[str]]] = (
    ("capture/api.place", ("killed before", "killed after", "paused")),
    ("capture/consumer.apply payments", ("killed before", "failing")),
    ("capture/relay.publish", ("killed after", "paused")),
    ("inventory/consumer.apply orders", VARIANTS),
    ("inventory/relay.mark", ("killed before", "killed after")),
    ("payment/gateway.authorize", VARIANTS),
    ("payment/gateway.capture", ("killed after", "failing")),
    ("payment/jobs.record payment.capture", ("killed before", "killed after")),
    ("fulfillment/carrier.buy_labels", ("killed after", "paused")),
    ("fulfillment/shipping.ask", ("killed after",)),
    ("fulfillment/api.ship", ("killed before", "killed after")),
    ("notification/email.send", ("killed after",)),
    ("tracking/consumer.apply orders", ("killed before", "paused")),
    ("tracking/consumer.take", ("killed after",)),
)


def chosen() -> Sequence[Case]:
    wanted = {(label, variant) for label, variants in CHOSEN for variant in variants}
    # Those that die halfway get everything again as well; half of the cases are enough here.
    return [
        case
        for case in cases()
        if (case.row.label, case.variant) in wanted
        and case.redelivered == (case.variant in ("killed after", "failing"))
    ]


def test_what_one_commit_came_to_is_credited_to_no_other(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    file.write_text('{"id": "of no commit"}\n')
    of_one, changed = crash_run.Kept(file, "one"), crash_run.Kept(file, "one+")
    of_one.add({"id": "case"})
    changed.add({"id": "another"})
    assert of_one.lines() == [{"id": "case"}]
    assert changed.lines() == [{"id": "another"}]
    assert crash_run.Kept(file, "two").lines() == []


@pytest.mark.postgres
@pytest.mark.timeout(600)
async def test_services_that_die_at_their_points_leave_every_order_whole(
    postgres: TestPostgres, tmp_path: Path
) -> None:
    databases = {name: f"crash_{name}" for name in crash_run.NAMES}
    for name in databases.values():
        postgres.drop_database(name)
    dsns = {name: postgres.create_database(database) for name, database in databases.items()}
    bad: list[Result] = []

    def tell(result: Result) -> None:
        if not result.passes:
            bad.append(result)

    piece = await crash_run.run(dsns, postgres.dsn(), tmp_path, chosen(), tell=tell)
    assert bad == []
    assert list(piece.left) == []
    assert len(piece.results) == len(chosen()) == 30
    unproved = [f"{one.guarantee}: {one.unchecked}" for one in piece.findings if one.unchecked]
    assert unproved == []
    assert {one.verdict for one in piece.findings} == {"holds"}
    assert len(piece.findings) == len(GUARANTEES)
