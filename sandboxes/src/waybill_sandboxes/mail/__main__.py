"""`python -m waybill_sandboxes.mail`."""

from waybill_sandboxes import journal, shell
from waybill_sandboxes.mail import app, inbox, smtp
from waybill_sandboxes.mail.settings import Settings


def main() -> None:
    settings = Settings()
    file = journal.FileJournal(settings.data_dir / "messages.jsonl")
    messages = inbox.Inbox(file, newest_max=settings.newest_max)
    jobs: list[shell.Job] = [
        smtp.serving(messages, host=settings.host, port=settings.smtp_port),
        shell.syncing(file),
    ]
    try:
        shell.run(app.build(messages), host=settings.host, port=settings.port, jobs=jobs)
    finally:
        file.close()


if __name__ == "__main__":
    main()
