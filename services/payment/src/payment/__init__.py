"""payment: what to ask the gateway, and what its answers mean."""
