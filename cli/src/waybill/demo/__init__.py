"""A shop's busy half minute, to be watched."""
