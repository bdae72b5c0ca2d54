"""`python -m payment`."""

from payment import bootstrap
from payment.settings import Settings
from waybill_runtime import program

if __name__ == "__main__":
    program.main("payment", Settings, bootstrap.compose)
