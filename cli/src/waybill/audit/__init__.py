"""The audit: each guarantee recomputed from outside the services that make it."""
