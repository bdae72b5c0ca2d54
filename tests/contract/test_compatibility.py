"""The command finds its base, exits 1 on a breaking change, and names whom it breaks."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from waybill_events import compatibility, schemas

ROOT = Path(__file__).parents[2]
PLACED = f"{schemas.FOLDER}/capture.order_placed.v1.json"
EXAMPLE = f"{compatibility.EXAMPLES}/capture.order_placed.v1/from-the-web.json"
API = f"{compatibility.APIS}/capture.json"
CONSUMERS = "breaks inventory, payment, notification, tracking"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return make(tmp_path / "base")


@pytest.fixture
def now(tmp_path: Path) -> Path:
    return make(tmp_path / "now")


def make(root: Path) -> Path:
    """A repository's contracts as they are today, and one API."""
    for folder in (schemas.FOLDER, compatibility.EXAMPLES):
        shutil.copytree(ROOT / folder, root / folder)
    (root / API).parent.mkdir(parents=True)
    (root / API).write_text(
        json.dumps(
            {
                "x-waybill-consumers": ["storefront"],
                "paths": {"/v1/orders": {"get": {"responses": {}}}},
            }
        )
    )
    return root


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told))


def git(root: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(root), *identity, *arguments], check=True, timeout=60)


def commit(root: Path) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "A change")


def run(base: Path | str, root: Path) -> int:
    return compatibility.main(["--base", str(base), "--root", str(root)])


def test_nothing_changed_breaks_nobody(base: Path, now: Path) -> None:
    assert run(base, now) == 0


def test_a_new_type_and_a_new_optional_field_break_nobody(base: Path, now: Path) -> None:
    (base / PLACED).unlink()
    path = now / schemas.FOLDER / "capture.order_expired.v1.json"
    edit(path, lambda told: told["properties"].update(gift={"type": "boolean"}))
    assert run(base, now) == 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda s: s["properties"].pop("channel"), "/channel: field removed"),
        (lambda s: s["required"].remove("channel"), "/channel: field may now be absent"),
        (
            lambda s: s["properties"]["channel"].update(type="integer"),
            "/channel: may no longer be string",
        ),
        (
            lambda s: s["properties"]["channel"].update(enum=["web"]),
            "/channel: is now limited to web",
        ),
        (
            lambda s: s["properties"]["currency"].update(pattern="^GBP$"),
            "/currency: pattern ^[A-Z]{3}$ became ^GBP$",
        ),
        (
            lambda s: s["$defs"]["OrderLine"]["properties"]["quantity"].update(maximum=10),
            "/lines[]/quantity: maximum 1000000 became 10",
        ),
        (lambda s: s["x-waybill"].update(topic="sales"), "topic orders became sales"),
        (lambda s: s["x-waybill"].update(key="external_ref"), "key order_id became external_ref"),
    ],
)
def test_a_breaking_change_of_an_event_names_its_consumers(
    base: Path,
    now: Path,
    change: Callable[[dict[str, Any]], object],
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    edit(now / PLACED, change)
    assert run(base, now) == 1
    assert f"capture.order_placed.v1: {told}\n    {CONSUMERS}\n" in capsys.readouterr().out


def test_a_field_made_required_and_an_enum_value_removed_are_breaking(
    base: Path, now: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(base / PLACED, lambda told: told["required"].remove("channel"))
    name = f"{schemas.FOLDER}/inventory.stock_released.v1.json"
    edit(now / name, lambda told: told["properties"]["bucket"]["enum"].remove("held"))
    assert run(base, now) == 1
    printed = capsys.readouterr().out
    assert "/channel: field made required" in printed
    assert "/bucket: no longer allows held\n    breaks no consumer that we know of" in printed


def test_a_removed_type_names_its_consumers(
    base: Path, now: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (now / PLACED).unlink()
    assert run(base, now) == 1
    printed = capsys.readouterr().out
    assert "the type was removed" in printed
    assert CONSUMERS in printed


def test_a_breaking_change_of_an_api_names_its_callers(
    base: Path, now: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(now / API, lambda told: told["paths"].clear())
    assert run(base, now) == 1
    assert "capture: GET /v1/orders: removed\n    breaks storefront" in capsys.readouterr().out
    (now / API).unlink()
    assert run(base, now) == 1
    assert "the API was removed\n    breaks storefront" in capsys.readouterr().out


def test_on_main_the_commit_before_is_the_base(now: Path) -> None:
    git(now, "init", "--quiet", "--initial-branch", "main")
    commit(now)
    assert compatibility.default_ref(now) is None
    edit(now / PLACED, lambda told: told["properties"].pop("channel"))
    commit(now)
    assert compatibility.main(["--root", str(now)]) == 1


def test_on_a_branch_the_base_is_where_it_left_main(now: Path) -> None:
    git(now, "init", "--quiet", "--initial-branch", "main")
    commit(now)
    git(now, "update-ref", "refs/remotes/origin/main", "HEAD")
    git(now, "checkout", "--quiet", "-b", "feature")
    edit(now / PLACED, lambda told: told["properties"].pop("channel"))
    commit(now)
    (now / "unrelated").write_text("")
    commit(now)
    assert compatibility.main(["--root", str(now)]) == 1


def test_without_a_base_it_says_so_in_one_line(
    now: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    git(now, "init", "--quiet")
    assert compatibility.main(["--root", str(now)]) == 0
    assert capsys.readouterr().out.startswith("nothing to compare with")


def test_a_base_that_cannot_be_read_is_no_pass(
    now: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    git(now, "init", "--quiet")
    assert run("no-such-ref", now) == 2
    assert "cannot read the base no-such-ref" in capsys.readouterr().err


def test_a_released_example_stays_as_it_was_sent(
    base: Path, now: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(now / EXAMPLE, lambda told: told.update(currency="EUR"))
    (now / EXAMPLE).with_name("a-new-one.json").write_text("{}")
    assert run(base, now) == 1
    said = "capture.order_placed.v1, example from-the-web: the example was changed"
    assert f"{said}; add another one beside it\n    {CONSUMERS}\n" in capsys.readouterr().out


def test_a_released_example_is_never_removed(
    base: Path, now: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (now / EXAMPLE).unlink()
    assert run(base, now) == 1
    assert "example from-the-web: the example was removed" in capsys.readouterr().out
