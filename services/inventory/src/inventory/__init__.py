"""Stock per SKU and location: held, allocated, released, consumed, never sold twice."""
