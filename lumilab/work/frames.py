"""Messages through a pipe between two processes: eight bytes of length, then the message."""

from __future__ import annotations

import struct
from io import FileIO

LENGTH = struct.Struct("<Q")


def send(pipe: FileIO, message: bytes) -> None:
    """Writes one message.

    Raises:
        BrokenPipeError: nobody reads the other end any more.
    """
    rest = memoryview(LENGTH.pack(len(message)) + message)
    while rest:
        # An unbuffered write may take less than it is given.
        rest = rest[pipe.write(rest) or 0 :]


def receive(pipe: FileIO) -> bytes | None:
    """Reads one message; None when the other end closed, between messages or, by a sudden death, within one."""
    head = _read(pipe, LENGTH.size)
    return None if head is None else _read(pipe, LENGTH.unpack(head)[0])


def _read(pipe: FileIO, size: int) -> bytes | None:
    pieces = bytearray()
    while len(pieces) < size:
        piece = pipe.read(size - len(pieces))
        if not piece:
            return None
        pieces += piece
    return bytes(pieces)
