"""The built-in sample: about a hundred kilobytes of every kind of text that encoders have been seen to disagree on.

The fast encoder is trusted only after it has given the reference's ids for all of these.
"""

from __future__ import annotations

import random
import sys
import unicodedata
from collections.abc import Iterator, Sequence

SCRIPTS = (
    "The quick brown fox can't jump; we'LL see, they'RE 'S 'ſ I'm, it's 3,141.59 and 1984.",
    "日本語のテキストです。中文文本，没有空格。한국어 텍스트 각 \u1100\u1161\u11a8 ㍿ ﬁ ｱｲｳ",
    "Привет, мир! Γειά σου Κόσμε. שלום עולם مرحبا بالعالم नमस्ते दुनिया สวัสดีชาวโลก ሰላም ქართული",
    "👩‍👩‍👧‍👦🇯🇵🏴󠁧󠁢󠁥󠁮󠁧󠁿 🙂🙂🙂 ❤️ 👍🏽 \U0001f9ff\U0001fae8",
    "e\u0301 é Å Å ñ n\u0303 ǆ İ ı ß ẞ \u0345 Ⅷ ² ½ ١٢٣ ४५६ 𝟘𝟙 ①",
    "\x00\x01\x02\x1b[31mred\x1b[0m\x7f\x80\x85\x9f\ufeff\ufffd\ufffe\uffff\u200b\u200d\u2060\u00ad",
    " \t \u00a0 \u1680 \u2003 \u2028 \u2029 \u202f \u205f \u3000 \u180e \x0b \x0c \x1c \x1f",
    "a\rb\r\nc\n\n\n  d\n \n\t\n   \r\r\n end \n",
    "\u202eright to left\u202c \U0010ffff\U000f0000\ue000\ud7ff",
    "`~!@#$%^&*()_+-={}|[]\\:\";'<>?,./ <<>> --- === *** ... !!!??? /* */ // <!-- --> {{}} $$x^2$$",
    "https://example.org/a/b?c=d&e=%20f#g user.name+tag@example.com 192.168.0.1 C:\\Windows\\x ~/.bashrc",
    "def f(x: int) -> None:\n    if x >= 10:\n        return [i ** 2 for i in range(x)]\n\t\tpass  # 注释\n\n\n",
    '{"key": [1, 2.5e-10, null, true], "näme": "va\\u006cue\\n"}\n<div class="a">&nbsp;</div>\nSELECT * FROM t;\n',
    "0 00 000 1234567890 12345678901234567890 1,000,000.00 -1e10 0xdeadbeef 3.14.15 ²³ x1y2z3 v1.2.3-rc4",
    "▁under ▁▁line ▁ <0x0A> <0xFF> <unk> <s> </s> Ġ Ċ ĉ âĢĻ",
    "'twas don''t o'clock 'tis I'd've rock'n'roll ’s ’t l’été",
    "aaaaaaaaaaaaaaaa AAAAAAAAAAAA hahahahaha =-=-=-=-=-= ab" * 3,
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|bos|>", "<|pad|>", "<think>", "</think>", "<s>", "</s>")


def probe_texts(special: Sequence[str] = ()) -> list[str]:
    """The sample's texts, the same every time.

    Args:
        special: names of special tokens that texts shall spell, besides the usual ones.
    """
    return list(_texts([*SPECIAL, *special[:100]]))


def _texts(special: Sequence[str]) -> Iterator[str]:
    draw = random.Random(4)
    yield from SCRIPTS
    yield "".join(SCRIPTS)
    for name in special:
        yield from (name, f" {name}", f"a{name}b {name}\n{name}{name}", name[:-1], name[1:])
    for length in (1, 2, 3, 7, 16, 24, 25, 100, 1_000, 5_000):
        yield from (" " * length, " " * length + "end", "x" + "\n" * length, "\t" * length, "=" * length)
        yield "word" * length if length <= 1_000 else "7" * length
    yield from _planes(draw)
    yield from _soups(draw)


def _planes(draw: random.Random) -> Iterator[str]:
    """Characters of every plane and category, some of them not assigned, alone and between letters."""
    for plane in range(17):
        codes = sorted(draw.sample(range(plane << 16, min((plane + 1) << 16, sys.maxunicode)), 120))
        characters = [chr(code) for code in codes if not 0xD800 <= code < 0xE000]
        yield "".join(characters)
        yield " a".join(characters)
    by_category: dict[str, list[str]] = {}
    for code in range(0x3000):
        if not 0xD800 <= code < 0xE000:
            by_category.setdefault(unicodedata.category(chr(code)), []).append(chr(code))
    for characters in by_category.values():
        yield "x".join(draw.choices(characters, k=60))


def _soups(draw: random.Random) -> Iterator[str]:
    """Pieces of all texts, put together at random: what stands beside what decides where a word ends."""
    words = " ".join(SCRIPTS).split(" ")
    joints = ("", " ", "  ", "   ", "\n", "\r\n", "\n\n ", "\t", "'", "'s", ".", "1", " 1", "-", "\u00a0", "é", "字")
    for _ in range(80):
        yield "".join(draw.choice(words)[: draw.randint(1, 9)] + draw.choice(joints) for _ in range(60))
