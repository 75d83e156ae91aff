"""What can go wrong with the content that a stand-in hub sends; see `StandInHub.faults`."""

from __future__ import annotations

import time
from contextlib import suppress

from stand_in_hub import Fault, Handler


def cut_after(count: int) -> Fault:
    """Announces all and ends the connection early."""

    def fault(handler: Handler, body: bytes) -> bool:
        handler.begin(len(body))
        handler.send(body[:count])
        handler.hang_up()
        return True

    return fault


def status(number: int, **headers: str) -> Fault:
    """Answers with a status; underscores in names of headers stand for hyphens."""

    def fault(handler: Handler, body: bytes) -> bool:
        handler.answer(number, b"no", {name.replace("_", "-"): value for name, value in headers.items()})
        return True

    return fault


def another_length(difference: int) -> Fault:
    """Sends, and announces, more or fewer bytes than the file has."""

    def fault(handler: Handler, body: bytes) -> bool:
        changed = body + b"x" * difference if difference > 0 else body[:difference]
        handler.begin(len(changed))
        handler.send(changed)
        return True

    return fault


def another_content(handler: Handler, body: bytes) -> bool:
    """Flips a bit on the way."""
    handler.begin(len(body))
    handler.send(bytes([body[0] ^ 1]) + body[1:])
    return True


def drip(seconds: float) -> Fault:
    """Sends one byte, again and again."""

    def fault(handler: Handler, body: bytes) -> bool:
        handler.begin(len(body))
        try:
            for position in range(len(body)):
                handler.send(body[position : position + 1])
                time.sleep(seconds)
        except OSError:
            handler.hang_up()
        return True

    return fault


def silence(handler: Handler, body: bytes) -> bool:
    """Announces everything and sends nothing until the client leaves."""
    handler.begin(len(body))
    handler.connection.settimeout(20)
    with suppress(OSError):
        handler.connection.recv(1)
    handler.hang_up()
    return True


def slowly(seconds: float, piece: int = 1 << 16) -> Fault:
    """Sends all of it with a pause behind each piece."""

    def fault(handler: Handler, body: bytes) -> bool:
        handler.begin(len(body))
        try:
            for start in range(0, len(body), piece):
                handler.send(body[start : start + piece])
                time.sleep(seconds)
        except OSError:
            handler.hang_up()
        return True

    return fault
