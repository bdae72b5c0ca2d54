"""How the ids of one order hang together: `ord_X`, `pay_X`, `res_X`, `rcp_X`, `ffo_X-1`, `shp_X-1`.

Derived, so that nobody has to look up whose payment or parcel something is.
"""


def suffix(prefixed: str) -> str:
    """The part that an order's ids share: `ffo_X-1` gives `X`.

    Raises:
        ValueError: the text is not a prefixed id.
    """
    _, separator, rest = prefixed.partition("_")
    if not separator or not rest:
        raise ValueError(f"{prefixed!r} is not a prefixed id")
    return rest.partition("-")[0]
