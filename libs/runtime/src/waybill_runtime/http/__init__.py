"""How services speak HTTP: problems, keys, idempotency, conditions, pages, health."""
