"""What every store refuses to append, before it asks its database."""

from collections.abc import Sequence

from waybill_runtime.stored import StreamWrite


def checked(writes: Sequence[StreamWrite]) -> list[StreamWrite]:
    """The writes that have events, as they came.

    Raises:
        ValueError: a stream twice, an event of another stream, or a version left out.
    """
    wanted = [write for write in writes if write.events]
    seen: set[str] = set()
    for write in wanted:
        if write.stream in seen:
            raise ValueError(f"stream {write.stream} is written twice in one append")
        seen.add(write.stream)
        for version, event in enumerate(write.events, write.expected_version + 1):
            if event.stream != write.stream or event.version != version:
                raise ValueError(
                    f"version {version} of {write.stream} was to be appended,"
                    f" not version {event.version} of {event.stream}"
                )
    return wanted
