"""The digest of a generation of documents, the same from every store.

For each document sha256(tenant ‖ 0 ‖ key ‖ 0 ‖ body), and in the same hash, for each attribute by
name, 0 ‖ name ‖ 0 ‖ value. For each row of the index sha256(tenant ‖ 0 ‖ name ‖ 0 ‖ value ‖ 0 ‖
key). All as UTF-8 and the body byte for byte; these XORed, so that the order does not matter;
written as 64 hex digits.
"""

import hashlib
from collections.abc import Mapping

EMPTY = 0


def of_document(tenant: str, key: str, body: str, attributes: Mapping[str, str]) -> int:
    """One document's part: its own, and that of the index rows by which it is found."""
    named = [part for name in sorted(attributes) for part in (name, attributes[name])]
    digest = _hash(tenant, key, body, *named)
    for name, value in attributes.items():
        digest ^= _hash(tenant, name, value, key)
    return digest


def _hash(*parts: str) -> int:
    return int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest(), "big")


def text(digest: int) -> str:
    """The digest as it is shown."""
    return f"{digest:064x}"
