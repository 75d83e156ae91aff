"""Pieces of text on which word splitting goes wrong first, to be joined into texts by hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

PIECES = (
    *("don't", "can’t", "I'm", "Y'ALL", "it's", "its", "o'clock", "rock'n'roll", "'Cause", "we'd've", "shan't"),
    *(
        "5km",
        "10€",
        "$5",
        "US$10",
        "3.14",
        "1,000",
        "10°C",
        "°F.",
        "5%",
        "100km/h",
        "3pm",
        "12a.m.",
        "1st",
        "2+2",
        "9-5",
    ),
    *(
        "http://a.io/b?c=d#e",
        "www.x.co.uk",
        "a@b.com",
        "user.name@host.org:8080",
        "1.2.3.4",
        "10.0.0.1",
        "ftp://x",
        "x.y",
    ),
    *("🙂", "👩‍👩‍👧", ":)", ":-(", "<3", "^_^", "(╯°□°）╯︵┻━┻", "¯\\(ツ)/¯", "xD", ":P", "ಠ_ಠ"),
    *("漢字", "ひらがな。", "한국어", "مرحبا،", "שלום", "हिन्दी।", "ไทย", "Ελλάδα;", "Привет", "ǅ", "İ", "ß", "ﬁ", "５"),
    *(
        "Mr.",
        "U.S.",
        "N.Y.",
        "e.g.",
        "vs.",
        "Ph.D.",
        "a.",
        "Z.",
        "...",
        "..",
        "….",
        "…",
        "——",
        "--",
        "–",
        "-",
        "a-b",
        "a–b",
    ),
    *(
        "'",
        "’",
        "“",
        "”",
        "«",
        "`",
        "''",
        '"',
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "/",
        "\\",
        "*",
        "#",
        "&",
        "~",
        "=",
        "+",
        "^",
    ),
    *(",", ";", ":", "!", "?", ".", "|", "_", "<", ">", "@", "·", "•", "§", "¿", "¡", "©", "™", "№", "µm", "ª", "²"),
    *(
        "foo/bar",
        "and/or",
        "w/o",
        "C++",
        "a,b",
        "a:b",
        "aB.Cd",
        "x=y",
        "the",
        "The",
        "of",
        "A",
        "b",
        "1",
        "é",
        "e\u0301",
    ),
    *(
        " ",
        " ",
        " ",
        " ",
        "  ",
        "\t",
        "\n",
        "\n\n",
        "\r\n",
        "\u00a0",
        "\u2003",
        "\u200b",
        "\u3000",
        "\x0b",
        "\x1c",
        "\x85",
    ),
    *("\u2028", "\x00", "\x7f", "\u00ad", "\ufeff", "\ufffd", "\U0010ffff", "\U000e0041", "\u0378"),
)
LINES = (
    *("This is a line.", "A line without an end", "Two words.", "It is [1] cited [edit] [citation needed].", "[2]"),
    *(
        "We mention JAVASCRIPT here.",
        "See our Privacy Policy.",
        "He said: “No.” She left!",
        "One... Two? Three!",
        "...",
    ),
    *(
        "The end is near...",
        "Is it? It is! Yes.",
        "a b c.",
        "x" * 1_000 + " y z.",
        "x" * 1_001 + " y z.",
        '"Quoted," he said."',
    ),
    *(
        "Java[3]script is split here.",
        "Lorem[] ip[4]sum [edit.",
        "1. One. 2. Two. 3) Three.",
        "Terms [5]of use.",
        "[١٢].",
    ),
    *(
        "  leading and trailing.  ",
        "\t",
        "",
        "Mr. Smith went to Washington, D.C. on Jan. 5th.",
        "漢字。 ひら が。",
        "؟ ? ! a.",
    ),
)


def texts(max_size: int = 25) -> st.SearchStrategy[str]:
    """Pieces and any other characters but lone surrogates, with and without white space between them."""
    other = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=3)
    return st.lists(st.sampled_from(PIECES) | other, max_size=max_size).map("".join)


def line_texts(max_size: int = 12) -> st.SearchStrategy[str]:
    """Lines that C4's rules treat in different ways, with different line ends, and pieces between them."""
    ends = st.sampled_from(["\n", "\n", "\n", "\r\n", "\u2028", " ", "\n\n", ""])
    part = st.sampled_from(LINES) | st.sampled_from(LINES) | texts(4)
    return st.lists(st.tuples(part, ends), max_size=max_size).map(lambda parts: "".join(map("".join, parts)))
