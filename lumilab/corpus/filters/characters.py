"""What the filters need to know of each character, as one word of flags per code point.

Three kinds of sources: the running Python's `str` methods and Unicode data (spaces, letters, digits, punctuation), the
character classes of spaCy 3.8's English word splitting, and the punctuation sets of datatrove 0.10.1, whose decisions
these filters repeat. The latter two are hand-made sets that follow no Unicode property, so they stand here as ranges of
hexadecimal code points; tests compare each with the original.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Flags = npt.NDArray[np.uint32]

SPACE = 1 << 0  # white space (str.isspace)
LINE_END = 1 << 1  # ends a line for str.splitlines
LETTER = 1 << 2  # str.isalpha
DIGIT = 1 << 3  # a decimal digit, \d
WORD = 1 << 4  # \w: a letter, any number or the underscore
PUNCTUATION = 1 << 5  # Unicode category P
ALPHA = 1 << 6  # spaCy's letters, in three kinds:
LOWER = 1 << 7  # small letters and those without case
UPPER = 1 << 8  # capital letters and those without case
QUOTE = 1 << 9  # spaCy's quotation marks within words
ICON = 1 << 10  # spaCy's symbols that stand by themselves
PREFIX = 1 << 11  # splits off a word's beginning
SUFFIX = 1 << 12  # splits off a word's end
BEFORE_DOT = 1 << 13  # a full stop after it splits off
CURRENCY = 1 << 14  # splits off after a digit
HOST = 1 << 15  # may be in a host's name in an address
SYMBOL = 1 << 16  # a word of such characters alone is no word for Gopher's counts (datatrove)
SENTENCE_END = 1 << 17  # a word that ends a sentence (spaCy's sentencizer)
STOP = 1 << 18  # ends a line well for FineWeb's rule since December 2024 (datatrove)
MARK = 1 << 19  # a letter or bracket by which `c4_lines.py` notices what it looks for

_ALPHA = """41-5a 61-7a c0-d6 d8-f6 f8-1bf 1c4-2af 386 388-38a 38c 38e-38f 391-3a9 3ac-3af 3b1-3c9 3cc-3ce 400-401
403-40a 40c-40d 410-451 453-45a 45c-45d 490-491 496-497 4a2-4a3 4ae-4af 4ba-4bb 4d8-4d9 4e8-4e9 1d00-1d25 1d6b-1d77
1d79-1d9a 1e00-1eff 2c60-2c7b 2c7e-2c7f a722-a76f a771-a787 a78b-a78e a790-a7b9 a7fa ab30-ab5a ab60-ab64 ff21-ff3a
ff41-ff5a"""
_CASELESS = """591-5f4 620-64a 66e-6d5 6e5-6ff 750-77f 8a0-8bd 900-9ff b80-cff d80-dff 1100-137f 2e80-2fdf 2ff0-30ff
31c0-31ef 3200-4dbf 4e00-9fff ac00-d7af f900-faff fb1d-fbb1 fbd3-fd3d fd50-fdc7 fdf0-fdfb fe30-fe4f fe70-fefc
1ee00-1eebb 1f200-1f2ff 20000-2a6df 2a700-2ebef 2f800-2fa1f"""
_ICON = """a6 a9 ae b0 482 58d-58e 60e-60f 6de 6e9 6fd-6fe 7f6 9fa b70 bf3-bf8 bfa c7f d4f d79 f01-f03 f13 f15-f17
f1a-f1f f34 f36 f38 fbe-fc5 fc7-fcc fce-fcf fd5-fd8 109e-109f 1390-1399 1940 19de-19ff 1b61-1b6a 1b74-1b7c 2100-2101
2103-2106 2108-2109 2114 2116-2117 211e-2123 2125 2127 2129 212e 213a-213b 214a 214c-214d 214f 218a-218b 2195-2199
219c-219f 21a1-21a2 21a4-21a5 21a7-21ad 21af-21cd 21d0-21d1 21d3 21d5-21f3 2300-2307 230c-231f 2322-2328 232b-237b
237d-239a 23b4-23db 23e2-2426 2440-244a 249c-24e9 2500-25b6 25b8-25c0 25c2-25f7 2600-266e 2670-2767 2794-27bf 2800-28ff
2b00-2b2f 2b45-2b46 2b4d-2b73 2b76-2b95 2b98-2bc8 2bca-2bfe 2ce5-2cea 2e80-2e99 2e9b-2ef3 2f00-2fd5 2ff0-2ffb 3004
3012-3013 3020 3036-3037 303e-303f 3190-3191 3196-319f 31c0-31e3 3200-321e 322a-3247 3250 3260-327f 328a-32b0 32c0-32fe
3300-33ff 4dc0-4dff a490-a4c6 a828-a82b a836-a837 a839 aa77-aa79 fdfd ffe4 ffe8 ffed-ffee fffc-fffd 10137-1013f
10179-10189 1018c-1018e 10190-1019b 101a0 101d0-101fc 10877-10878 10ac8 1173f 16b3c-16b3f 16b45 1bc9c 1d000-1d0f5
1d100-1d126 1d129-1d164 1d16a-1d16c 1d183-1d184 1d18c-1d1a9 1d1ae-1d1e8 1d200-1d241 1d245 1d300-1d356 1d800-1d9ff
1da37-1da3a 1da6d-1da74 1da76-1da83 1da85-1da86 1ecac 1f000-1f02b 1f030-1f093 1f0a0-1f0ae 1f0b1-1f0bf 1f0c1-1f0cf
1f0d1-1f0f5 1f110-1f16b 1f170-1f1ac 1f1e6-1f202 1f210-1f23b 1f240-1f248 1f250-1f251 1f260-1f265 1f300-1f3fa 1f400-1f6d4
1f6e0-1f6ec 1f6f0-1f6f9 1f700-1f773 1f780-1f7d8 1f800-1f80b 1f810-1f847 1f850-1f859 1f860-1f887 1f890-1f8ad 1f900-1f90b
1f910-1f93e 1f940-1f970 1f973-1f976 1f97a 1f97c-1f9a2 1f9b0-1f9b9 1f9c0-1f9c2 1f9d0-1f9ff 1fa60-1fa6d"""
_QUOTE = "22 27 2c 60 ab b4 bb 2018-201a 201c-201e 2329-232a 27e6-27e7 3008-3011 3014-3015 ff08-ff09"
# Without the symbols above. A prefix more than a suffix: currency signs, and % + = and the section sign.
_SUFFIX = """21-23 26-2a 2c 3a-3c 3e-3f 5b 5d 5f-60 7b 7d a1 ab b4 b7 bb bf 60c 61b 61f 66a 6d4 964 2013-2014 2018-201a
201c-201e 2026 2329-232a 27e6-27e7 3001-3002 3008-3011 3014-3015 ff01 ff08-ff09 ff0c ff1a-ff1b ff1f ff5e"""
_PREFIX = _SUFFIX + " 25 3d a7"
_CURRENCY = "24 a3 a5 e3f 20a0-20bf fdfc"
# Without small letters: digits, some signs, punctuation and quotation marks.
_BEFORE_DOT = """21-23 25-2d 30-3c 3e-3f 5b 5d 5f-60 7b-7d a1 ab b2 b4 b7 bb bf 60c 61b 61f 66a 6d4 964 2018-201a
201c-201e 2026 2329-232a 27e6-27e7 3001-3002 3008-3011 3014-3015 ff01 ff08-ff09 ff0c ff1a-ff1b ff1f ff5e"""
_HOST = "30-39 41-5a 61-7a a1-d7ff e000-ffff"
_SENTENCE_END = """21 2e 3f 589 61f 6d4 700-702 7f9 964-965 104a-104b 1362 1367-1368 166e 1735-1736 1803 1809 1944-1945
1aa8-1aab 1b5a-1b5b 1b5e-1b5f 1c3b-1c3c 1c7e-1c7f 203c-203d 2047-2049 2e2e 2e3c 3002 a4ff a60e-a60f a6f3 a6f7 a876-a877
a8ce-a8cf a92f a9c8-a9c9 aa5d-aa5f aaf0-aaf1 abeb fe52 fe56-fe57 ff01 ff0e ff1f ff61 10a56-10a57 11047-11048 110be-110c1
11141-11143 111c5-111c6 111cd 111de-111df 11238-11239 1123b-1123c 112a9 1144b-1144c 115c2-115c3 115c9-115d7 11641-11642
1173c-1173e 11a42-11a43 11a9b-11a9c 11c41-11c42 16a6e-16a6f 16af5 16b37-16b38 16b44 1bc9f 1da88"""
_STOP = (
    _SENTENCE_END
    + """ 61d-61e 837 839 83d-83e 17d4-17d6 17d9-17da 1b7d-1b7e 2e53-2e54 10f55-10f59 10f86-10f89 11944 11946
11ef7-11ef8 11f43-11f44 16e98"""
)
_SYMBOL = (
    _STOP
    + """ 0-8 b-1f 21-2f 3a-40 5b-60 7b-9f ab b4 bb 2013-2014 2019 201c-201e 2026 2236 2501 25ba 3001-3002 3008-300d
3010-3011 ff01 ff05 ff08-ff09 ff0c ff0e ff11 ff1a-ff1b ff1f ff5e"""
)
_MARK = "4a-4b 4d 50 56 5b 6a-6b 6d 70 76 7b 212a"  # [ { and j k m p v in small and capital, also the Kelvin sign
_LINE_END = "a-d 1c-1e 85 2028-2029"

_CODE_POINTS = 0x110000
_ASSIGNED = ((0, 0x32400), (0xE0000, 0xE0200))  # outside there are no letters, digits or punctuation marks
_SMALL_WITHOUT_PAIR = 0x294  # the glottal stop, which spaCy counts as a small letter
_UNASSIGNED_CAPITAL = 0x3A2  # in spaCy's range of Greek capitals


@lru_cache(maxsize=1)
def character_flags() -> Flags:
    """uint32 [0x110000]: the flags of each code point, computed once in about 0.05 s."""
    flags = np.zeros(_CODE_POINTS, np.uint32)
    _add_python_properties(flags)
    _add_letters(flags)
    for flag, ranges in (
        (LINE_END, _LINE_END),
        (QUOTE, _QUOTE),
        (ICON | PREFIX | SUFFIX, _ICON),
        (PREFIX, _PREFIX),
        (SUFFIX, _SUFFIX),
        (CURRENCY | PREFIX, _CURRENCY),
        (BEFORE_DOT, _BEFORE_DOT),
        (HOST, _HOST),
        (SENTENCE_END, _SENTENCE_END),
        (STOP, _STOP),
        (SYMBOL, _SYMBOL),
        (MARK, _MARK),
    ):
        for code_points in _slices(ranges):
            flags[code_points] |= flag
    flags[(flags & LOWER) != 0] |= BEFORE_DOT
    return flags


def _add_python_properties(flags: Flags) -> None:
    for first, end in _ASSIGNED:
        characters = np.arange(first, end, dtype=np.uint32).view("U1")  # str's methods, for all of them at once
        categories = "".join(map(unicodedata.category, map(chr, range(first, end)))).encode()
        for flag, has in (
            (SPACE, np.strings.isspace(characters)),
            (LETTER, np.strings.isalpha(characters)),
            (DIGIT, np.strings.isdecimal(characters)),
            (WORD, np.strings.isalnum(characters)),
            (PUNCTUATION, np.frombuffer(categories, np.uint8)[::2] == ord("P")),  # of the two letters the first
        ):
            flags[first:end] |= has * np.uint32(flag)
    flags[ord("_")] |= WORD


def _add_letters(flags: Flags) -> None:
    for code_points in _slices(_CASELESS):
        flags[code_points] |= ALPHA | LOWER | UPPER
    for code_points in _slices(_ALPHA):
        for code in range(code_points.start, code_points.stop):
            # Titlecase letters such as U+01C5 are neither.
            if chr(code).islower() or code == _SMALL_WITHOUT_PAIR:
                flags[code] |= ALPHA | LOWER
            elif chr(code).isupper() or code == _UNASSIGNED_CAPITAL:
                flags[code] |= ALPHA | UPPER
            else:
                flags[code] |= ALPHA


def _slices(ranges: str) -> list[slice]:
    """The ranges of hexadecimal code points, both ends included in the text."""
    bounds = [item.partition("-") for item in ranges.split()]
    return [slice(int(first, 16), int(last or first, 16) + 1) for first, _, last in bounds]
