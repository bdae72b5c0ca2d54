"""Postgres and Kafka on one machine, without a container engine and without rights."""
