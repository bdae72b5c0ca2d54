"""`python -m waybill_sandboxes.gateway`."""

from waybill_sandboxes import courier, journal, shell
from waybill_sandboxes.gateway import app, ledger
from waybill_sandboxes.gateway.settings import Settings


def main() -> None:
    settings = Settings()
    file = journal.FileJournal(settings.data_dir / "ledger.jsonl")
    gateway = ledger.Gateway(file, settings.options())
    gateway.set_faults(settings.faults)
    messenger = courier.Courier(gateway, settings.webhook_secret)
    http = app.build(
        gateway,
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
