"""`python -m tracking`."""

from tracking import bootstrap
from tracking.settings import Settings
from waybill_runtime import program

if __name__ == "__main__":
    program.main("tracking", Settings, bootstrap.compose)
