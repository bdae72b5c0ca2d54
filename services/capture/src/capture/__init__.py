"""capture: what an order is, and its fate."""
