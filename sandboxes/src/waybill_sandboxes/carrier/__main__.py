"""`python -m waybill_sandboxes.carrier`."""

from waybill_sandboxes import courier, journal, shell
from waybill_sandboxes.carrier import app, depot
from waybill_sandboxes.carrier.settings import Settings


def main() -> None:
    settings = Settings()
    file = journal.FileJournal(settings.data_dir / "ledger.jsonl")
    carrier = depot.Carrier(file, settings.options())
    carrier.set_faults(settings.faults)
    messenger = courier.Courier(carrier, settings.webhook_secret)
    http = app.build(
        carrier,
        api_key=settings.api_key,
        wake=messenger.wake,
        latency_s=settings.latency_ms / 1000,
    )
    jobs: list[shell.Job] = [messenger.run, shell.syncing(file)]
    try:
        shell.run(http, host=settings.host, port=settings.port, jobs=jobs)
    finally:
        file.close()


if __name__ == "__main__":
    main()
