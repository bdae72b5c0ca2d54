"""A robot that works a warehouse through the public warehouse API alone."""
