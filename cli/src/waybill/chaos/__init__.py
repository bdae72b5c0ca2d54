"""Chaos on real processes: load and faults on a system of its own, then the audit."""
