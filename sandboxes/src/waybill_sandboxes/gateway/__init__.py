"""A card gateway that keeps its own books and lies when asked to."""
