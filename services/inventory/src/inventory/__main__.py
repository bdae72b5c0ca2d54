"""`python -m inventory`."""

from inventory import bootstrap
from inventory.settings import Settings
from waybill_runtime import program

if __name__ == "__main__":
    program.main("inventory", Settings, bootstrap.compose)
