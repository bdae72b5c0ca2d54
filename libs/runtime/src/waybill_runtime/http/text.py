"""What every text of a request must be, whatever it is for."""

PRINTABLE = r"^[^\x00-\x1f\x7f]*$"
"""Of what stands in an address: no control characters, so that none reaches a store."""


def printable(text: str) -> str:
    """Of what stands in a body. Whether a code holds a card's number is asked of every body.

    Raises:
        ValueError: there are control characters.
    """
    if any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise ValueError("Control characters are not accepted here.")
    return text


def step(text: str) -> str:
    """Of what a path may name, too: who asks takes these two out of it (RFC 3986 section 5.2.4).

    Raises:
        ValueError: it is "." or "..".
    """
    if text in (".", ".."):
        raise ValueError(f"No path leads to {text!r}. Write at least one letter or digit, too.")
    return text
