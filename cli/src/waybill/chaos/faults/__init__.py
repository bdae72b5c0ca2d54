"""The faults, one module per thing that they strike."""
