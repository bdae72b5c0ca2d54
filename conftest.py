"""What every test in the workspace may ask for: `postgres`, `kafka_bootstrap`."""

pytest_plugins = ["waybill.embedded.fixtures"]
