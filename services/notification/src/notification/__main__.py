"""`python -m notification`."""

from notification import bootstrap
from notification.settings import Settings
from waybill_runtime import program

if __name__ == "__main__":
    program.main("notification", Settings, bootstrap.compose)
