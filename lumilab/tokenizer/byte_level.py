"""The byte alphabet of byte-level BPE: each of the 256 bytes written as one visible character.

Radford et al. 2019 (GPT-2), section 2.2 and `bytes_to_unicode` of its code: printable Latin-1 characters stand for
themselves, the other 68 bytes are written as U+0100 and up in order. A token in a `tokenizer.json` is spelled in this
alphabet, so it can end in the middle of a UTF-8 character.
"""

from __future__ import annotations

from functools import cache


@cache
def byte_of_character() -> dict[str, int]:
    """The byte (0 to 255) each of the alphabet's 256 characters stands for."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = sorted(set(range(256)).difference(printable))
    alphabet = {chr(byte): byte for byte in printable}
    return alphabet | {chr(256 + place): byte for place, byte in enumerate(others)}


@cache
def character_of_byte() -> list[str]:
    """The character that stands for each byte, by its value."""
    return sorted(byte_of_character(), key=byte_of_character().__getitem__)


def bytes_of_token(token: str) -> bytes:
    """The bytes a token spelled in the byte alphabet stands for.

    Raises:
        KeyError: a character is not of the alphabet.
    """
    alphabet = byte_of_character()
    return bytes(alphabet[character] for character in token)


def token_of_bytes(data: bytes) -> str:
    """Bytes spelled in the byte alphabet; the inverse of `bytes_of_token`."""
    alphabet = character_of_byte()
    return "".join(alphabet[byte] for byte in data)
