"""How a message's headers lie in one column: each name and value with its length before it."""

import struct

_LENGTHS = struct.Struct(">HI")


def pack(headers: tuple[tuple[str, bytes], ...]) -> bytes:
    """Headers as bytes, order and repetitions kept.

    Raises:
        UnicodeEncodeError: a name is not ASCII.
        struct.error: a name is longer than 65,535 characters.
    """
    parts: list[bytes] = []
    for name, value in headers:
        encoded = name.encode("ascii")
        parts += (_LENGTHS.pack(len(encoded), len(value)), encoded, value)
    return b"".join(parts)


class Unreadable(ValueError):
    """Bytes that `pack` never made."""


def unpack(data: bytes) -> tuple[tuple[str, bytes], ...]:
    """What `pack` was given.

    Raises:
        Unreadable: somebody else wrote these bytes, or they were damaged.
    """
    headers: list[tuple[str, bytes]] = []
    at = 0
    try:
        while at < len(data):
            name_length, value_length = _LENGTHS.unpack_from(data, at)
            name_end = at + _LENGTHS.size + name_length
            name = data[at + _LENGTHS.size : name_end].decode("ascii")
            at = name_end + value_length
            headers.append((name, data[name_end:at]))
    except (struct.error, UnicodeDecodeError) as error:
        raise Unreadable(str(error)) from error
    if at > len(data):
        raise Unreadable(f"a header ends {at - len(data)} bytes behind the last")
    return tuple(headers)
