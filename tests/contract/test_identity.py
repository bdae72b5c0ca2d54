"""The ids of one order share its suffix; a tracking token is known by its hash."""

import pytest

from waybill_events import identity


@pytest.mark.parametrize(
    ("prefixed", "stem", "suffix"),
    [("ord_01m8", "01m8", "01m8"), ("ffo_01m8-1", "01m8-1", "01m8"), ("pkg_x-1-2", "x-1-2", "x")],
)
def test_ids_of_one_order_share_its_suffix(prefixed: str, stem: str, suffix: str) -> None:
    assert identity.stem(prefixed) == stem
    assert identity.suffix(prefixed) == suffix


@pytest.mark.parametrize("text", ["", "ord", "ord_", "01m8-1"])
def test_what_is_no_prefixed_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a prefixed id"):
        identity.suffix(text)


def test_a_tokens_hash_stays_what_it_was() -> None:
    """It stands in events: another hash would close every link that was sent."""
    assert identity.token_hash("trk_secret") == (
        "1d1ef8aadbc14381a0538a61d582385d48a259652522128a4fcbe7dd18b5bd8e"
    )


def test_a_part_is_known_by_its_number() -> None:
    assert identity.part("shp_x-12") == "12"


@pytest.mark.parametrize("text", ["shp_x", "shp_x-", "x-1", ""])
def test_what_is_no_part_has_no_number(text: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        identity.part(text)
