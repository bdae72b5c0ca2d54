"""The digest of a generation of documents, the same from every store.

For each document sha256(tenant ‖ 0 ‖ key ‖ 0 ‖ body), all as UTF-8 and the body byte for byte;
these XORed, so that the order does not matter; written as 64 hex digits.
"""

import hashlib

EMPTY = 0


def of_document(tenant: str, key: str, body: str) -> int:
    """One document's part."""
    return int.from_bytes(hashlib.sha256(f"{tenant}\0{key}\0{body}".encode()).digest(), "big")


def text(digest: int) -> str:
    """The digest as it is shown."""
    return f"{digest:064x}"
