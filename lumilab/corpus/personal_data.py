"""Replacing e-mail addresses and public IP addresses, which can lead to a person.

The rules are those of datatrove's PIIFormatter, which made FineWeb: the same addresses are found, with these
differences, each held by a test:

- Which replacement an address gets is a function of the address, not of how many came before it, so that a text is
  scrubbed alike wherever it stands; and scrubbing twice changes nothing more.
- Four numbers that are part of a longer chain (`1.2.3.4.5`, `2561.1.1.1`) are a section or a version, no IP address.
- Public IP addresses become ones reserved for documentation (RFC 5737), which will never be anyone's. IPv6 addresses
  are found too (RFC 3849 for the replacement).
- Two addresses that run into each other become one.

The time is linear in the text: an address is sought around each @, not from each possible beginning.
"""

from __future__ import annotations

import ipaddress
import re
import zlib

EMAILS = ("email@example.com", "firstname.lastname@example.org")
IPV4_ADDRESSES = ("192.0.2.1", "198.51.100.1", "203.0.113.1")
IPV6_ADDRESS = "2001:db8::1"

# RFC 5322, section 3.2.3: atoms joined by single dots.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL_PART_BACKWARDS = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_WORD = re.compile(rf"\b{_ATOM}")
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_OCTET = "(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)"
# The name of a host, or an address in brackets with nothing behind it that would read as a part of its replacement.
_DOMAIN = re.compile(
    rf"(?:{_LABEL}\.)+{_LABEL}|\[(?:{_OCTET}\.){{3}}(?:{_OCTET}|[A-Za-z0-9-]*[A-Za-z0-9]:)\](?!\.?[A-Za-z0-9-])"
)
_FOUR_NUMBERS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
# What each address has in its middle. These begin with one character, which makes them ten times faster to seek.
_TWO_NUMBERS = re.compile(r"\.[0-9]{1,3}\.[0-9]{1,3}\.")
_GROUP_OR_NONE = re.compile(":[0-9A-Fa-f]{0,4}:")
_DIGIT_BEFORE = re.compile(r"[0-9]\.?\Z")
_DIGIT_BEHIND = re.compile(r"\.?[0-9]")
# All public addresses begin with the bits 001 (RFC 4291, section 2.4), so a C++ name such as `Fade::add` is none.
_HEXADECIMAL_GROUPS = re.compile(
    r"(?<![0-9A-Za-z:.])[23][0-9A-Fa-f]{3}(?:::?[0-9A-Fa-f]{1,4}){1,7}(?:::)?(?![0-9A-Za-z]|:[0-9A-Fa-f:])"
)


def scrub(text: str, emails: bool, ip_addresses: bool) -> tuple[str, int]:
    """The text with personal addresses replaced, and how many were.

    Args:
        text: any text.
        emails: whether to replace e-mail addresses.
        ip_addresses: whether to replace public IPv4 and IPv6 addresses; private and reserved ones stay.
    """
    count = 0
    if emails and "@" in text:
        text, count = _without_emails(text)
    if ip_addresses and _TWO_NUMBERS.search(text):
        text, found = _without_ipv4(text)
        count += found
    if ip_addresses and _GROUP_OR_NONE.search(text):
        text, found = _without_ipv6(text)
        count += found
    return text, count


def _without_emails(text: str) -> tuple[str, int]:
    kept: list[str] = []
    copied = count = 0
    end = -1  # of the last address
    at = text.find("@")
    while at >= 0:
        span = _email_around(text, at, max(end, 0))
        if span is None:
            at = text.find("@", at + 1)
            continue
        start, stop = span
        address = text[start:stop]
        # An address that begins where the last one ended shares its replacement: two of them would read as one other.
        adjoining = start == end
        if adjoining or address not in EMAILS:
            kept += [text[copied:start], "" if adjoining else _choice(address, EMAILS)]
            copied = stop
            count += 1
        end = stop
        at = text.find("@", stop)
    return "".join(kept) + text[copied:], count


def _email_around(text: str, at: int, begin: int) -> tuple[int, int] | None:
    """Where the address with the @ at this place starts and stops, if there is one that starts at `begin` or later."""
    domain = _DOMAIN.match(text, at + 1)
    if domain is None:
        return None
    before = text[max(begin, text.rfind("@", begin, at) + 1) : at]
    local = _LOCAL_PART_BACKWARDS.match(before[::-1])
    if local is None:
        return None
    # It starts with the first word in it that starts there and not before it, in another script's letters.
    first = _WORD.search(text, at - local.end(), at)
    return (first.start(), domain.end()) if first else None


def _without_ipv4(text: str) -> tuple[str, int]:
    count = 0

    def replacement(match: re.Match[str]) -> str:
        nonlocal count
        address = match[0]
        if not _stands_alone(match) or not _is_public(address):
            return address
        count += 1
        return _choice(address, IPV4_ADDRESSES)

    return _FOUR_NUMBERS.sub(replacement, text), count


def _stands_alone(match: re.Match[str]) -> bool:
    """Whether no further number is tied to the four."""
    text, start, stop = match.string, match.start(), match.end()
    before, behind = text[max(start - 2, 0) : start], text[stop : stop + 2]
    return not (_DIGIT_BEFORE.search(before) or _DIGIT_BEHIND.match(behind))


def _without_ipv6(text: str) -> tuple[str, int]:
    count = 0

    def replacement(match: re.Match[str]) -> str:
        nonlocal count
        if not _is_public(match[0]):
            return match[0]
        count += 1
        return IPV6_ADDRESS

    return _HEXADECIMAL_GROUPS.sub(replacement, text), count


def _is_public(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_global
    except ValueError:
        return False


def _choice(address: str, replacements: tuple[str, ...]) -> str:
    return replacements[zlib.crc32(address.encode()) % len(replacements)]
