from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumilab.corpus.personal_data import EMAILS, IPV4_ADDRESSES, IPV6_ADDRESS, scrub

# Weighted towards what addresses are made of, and what stands around them.
ADDRESSES = ["a@b.co", "x.y@z-1.org", "1.2.3.4", "10.0.0.1", "8.8.8.8", "192.0.2.1", "email@example.com", "2001:db8::1"]
PARTS = ["@[1.2.3.4]", "2606:4700::1111", "2001:", "::", ":8", "..", "255", "256", "abc", "сло"]
PIECES = st.sampled_from([*"@@@...aZé+_-'!: \n[]19", *ADDRESSES, *PARTS])
TEXTS = st.lists(PIECES, max_size=30).map("".join) | st.text()


def marked(text: str) -> str:
    """The text with one mark for every replacement, whichever of them it is."""
    for mark, replacements in (("<E>", EMAILS), ("<4>", IPV4_ADDRESSES), ("<6>", (IPV6_ADDRESS,))):
        text = re.sub("|".join(map(re.escape, replacements)), mark, text)
    return text


@given(TEXTS, st.booleans(), st.booleans())
def test_scrubbing_twice_changes_nothing_more(text: str, emails: bool, ip_addresses: bool) -> None:
    once, _ = scrub(text, emails, ip_addresses)
    assert scrub(once, emails, ip_addresses) == (once, 0)


@given(TEXTS)
def test_nothing_is_done_that_was_not_asked_for(text: str) -> None:
    assert scrub(text, emails=False, ip_addresses=False) == (text, 0)
    assert scrub(text.replace("@", ""), emails=True, ip_addresses=False)[1] == 0


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("write to jane.doe+news@mail.example.net.", "write to {E}."),
        ("<mailto:J@x.org>, or not: @home, a@b, x@.com", "<mailto:{E}>, or not: @home, a@b, x@.com"),
        ("a@b.co,c@d.co", "{E},{E}"),
        ("a@b.co+d@e.co next", "{E} next"),
        ("root@[88.2.3.4] logs in", "{E} logs in"),
        ("email@example.com stays, firstname.lastname@example.org too", None),
        (
            "ping 8.8.8.8, not 127.0.0.1, 10.1.2.3, 192.168.0.1 or 999.1.1.1",
            "ping {4}, not 127.0.0.1, 10.1.2.3, 192.168.0.1 or 999.1.1.1",
        ),
        ("section 1.2.3.4.5 and version 8.8.8.8.1 of 1234.8.8.8", None),
        ("at 8.8.8.8. Then", "at {4}. Then"),
        ("dns [2606:4700:4700::1111]:53 and 2001:4860:4860::8888.", "dns [2001:db8::1]:53 and 2001:db8::1."),
        ("fe80::1, ::1, 2001:db8::5, std::cafe::fade, 20:15:10, 2015:10:20", None),
        ("2607:f8b0:4005:805:0:0:0:200e", "2001:db8::1"),
        ("2607:f8b0:4005:805:0:0:0:200e:1", None),
    ],
)
def test_examples(text: str, scrubbed: str | None) -> None:
    pattern = re.escape(scrubbed or text)
    for mark, choices in (("{E}", EMAILS), ("{4}", IPV4_ADDRESSES)):
        pattern = pattern.replace(re.escape(mark), f"(?:{'|'.join(map(re.escape, choices))})")
    assert re.fullmatch(pattern, scrub(text, emails=True, ip_addresses=True)[0])


def test_the_same_address_gets_the_same_replacement_and_all_replacements_are_used() -> None:
    first, _ = scrub("a@b.co", emails=True, ip_addresses=True)
    assert scrub("c@d.co a@b.co", emails=True, ip_addresses=True)[0].split()[1] == first
    addresses = " ".join(f"user{n}@mail.org 9.9.9.{n}" for n in range(99))
    scrubbed, count = scrub(addresses, emails=True, ip_addresses=True)
    assert set(scrubbed.split()) == {*EMAILS, *IPV4_ADDRESSES}
    assert count == 198


@given(st.lists(PIECES, max_size=30).map("".join))
def test_datatrove_finds_the_same_emails(text: str) -> None:
    pii = pytest.importorskip("datatrove.pipeline.formatters.pii")
    theirs = pii.PIIFormatter(remove_ips=False, email_replacement="<E>").format(text)
    if "<E><E>" not in theirs and not re.search(r"@\[[^]]*\]\.?[A-Za-z0-9-]", text):  # our two stated differences
        assert marked(scrub(text, emails=True, ip_addresses=False)[0]) == marked(theirs)


@given(st.lists(PIECES, max_size=30).map("".join))
def test_datatrove_finds_the_same_ipv4_addresses_where_they_stand_alone(text: str) -> None:
    pii = pytest.importorskip("datatrove.pipeline.formatters.pii")
    # Their pattern takes the first four numbers that fit out of any chain; a chain of another length is none to us.
    chains = re.sub(r"[0-9]+(?:\.[0-9]+)*", lambda m: m[0] if _four_octets(m[0]) else "x", text)
    theirs = pii.PIIFormatter(remove_emails=False, ip_replacement="<4>").format(chains)
    ours, _ = scrub(chains, emails=False, ip_addresses=True)
    # They know no IPv6.
    assert marked(ours) == marked(scrub(theirs, emails=False, ip_addresses=True)[0])


def _four_octets(chain: str) -> bool:
    parts = chain.split(".")
    return len(parts) == 4 and all(len(part) <= 3 and int(part) <= 255 for part in parts)


def test_real_pages_are_scrubbed_as_datatrove_does(shared_data: Path) -> None:
    pii = pytest.importorskip("datatrove.pipeline.formatters.pii")
    formatter = pii.PIIFormatter(email_replacement="<E>", remove_ips=False)
    found = 0
    for path in sorted((shared_data / "web-pages/html").glob("*.gz"))[::3]:
        page = gzip.decompress(path.read_bytes()).decode(errors="replace")  # the whole page, where the addresses are
        ours, count = scrub(page, emails=True, ip_addresses=False)
        found += count
        assert marked(ours) == marked(formatter.format(page))
    assert found > 10


LONG_RUNS = ["a", "a.", ".", "a!", "-", "@", "a@", "a@b", "a@b-", "a@b.", "a@[1.", "x@[a-", "a@b.c", "é+"]
LONG_RUNS += ["1", "1.", "1.2.3.4", "2001:", "2001::", "::", "fa:"]


@pytest.mark.parametrize("unit", LONG_RUNS)
def test_the_time_is_linear_in_the_text(unit: str) -> None:
    # Quadratic patterns take minutes here; the suite's time limit would notice. No clock is compared with another.
    long = unit * (200_000 // len(unit))
    for text in (long, f"{long}@", f"x@{long}"):
        scrub(text, emails=True, ip_addresses=True)
