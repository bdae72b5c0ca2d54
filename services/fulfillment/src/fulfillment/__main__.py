"""`python -m fulfillment`."""

from fulfillment import bootstrap
from fulfillment.settings import Settings
from waybill_runtime import program

if __name__ == "__main__":
    program.main("fulfillment", Settings, bootstrap.compose)
