"""How the ids of one order hang together: `ord_X`, `pay_X`, `res_X`, `rcp_X`, `ffo_X-1`, `shp_X-1`.

Derived, so that nobody has to look up whose payment or parcel something is. And how a tracking
token is known to those who may not hold it.
"""

import hashlib


def stem(prefixed: str) -> str:
    """All but the kind, so the number of a part too: `ffo_X-1` gives `X-1`.

    Raises:
        ValueError: the text is not a prefixed id.
    """
    _, separator, rest = prefixed.partition("_")
    if not separator or not rest:
        raise ValueError(f"{prefixed!r} is not a prefixed id")
    return rest


def suffix(prefixed: str) -> str:
    """The part that an order's ids share: `ffo_X-1` gives `X`.

    Raises:
        ValueError: the text is not a prefixed id.
    """
    return stem(prefixed).partition("-")[0]


def part(prefixed: str) -> str:
    """The number of a part: `shp_X-1` gives `1`.

    Raises:
        ValueError: the text is not the id of a part.
    """
    _, separator, number = stem(prefixed).rpartition("-")
    if not separator or not number:
        raise ValueError(f"{prefixed!r} is not the id of a part")
    return number


def token_hash(token: str) -> str:
    """What events and read models keep of a tracking token; it opens nothing."""
    return hashlib.sha256(token.encode()).hexdigest()
