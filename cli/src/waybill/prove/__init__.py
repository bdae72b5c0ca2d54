"""Proofs of one promise each, on a running system of their own: evidence with figures."""
