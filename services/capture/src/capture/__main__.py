"""`python -m capture`."""

from capture import bootstrap
from capture.settings import Settings
from waybill_runtime import program

if __name__ == "__main__":
    program.main("capture", Settings, bootstrap.compose)
