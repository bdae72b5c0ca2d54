"""The whole system in one process, on memory adapters, under virtual time and a seed."""
