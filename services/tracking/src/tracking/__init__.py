"""tracking: what a customer and the staff see of an order. Projections only."""
