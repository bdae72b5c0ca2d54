"""The rules of stock (one stream per SKU) and of reservations (one per order)."""
