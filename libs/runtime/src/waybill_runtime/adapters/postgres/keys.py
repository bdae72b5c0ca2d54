"""Keys of advisory locks: the same text is the same key in every process of a service."""

import hashlib


def lock_key(kind: str, name: str) -> int:
    """A signed 64-bit key; two names that share one by chance only wait for each other."""
    digest = hashlib.blake2b(f"{kind}\0{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
