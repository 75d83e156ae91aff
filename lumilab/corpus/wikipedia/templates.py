"""The templates whose visible text belongs to a sentence, and what each shows.

A template is a page of its own that a dump of articles does not hold, so none is expanded: the few that stand inside
sentences (languages, units, dates, quotations, spacing) are rendered here from their arguments, after their own
documentation, and every other one (infoboxes, citations, navigation, notices) shows nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from lumilab.corpus.wikipedia.article import Mark
from lumilab.corpus.wikipedia.namespaces import words

_NAMED = re.compile(r"\s*([^\s=<>\[\]{}'\"][^=<>\[\]{}\n'\"]{0,40}?)\s*=")


@dataclass
class Arguments:
    """A template's arguments, with the space around them taken off: numbered from 1, and named."""

    numbered: list[str] = field(default_factory=list)
    named: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, parts: list[str]) -> Arguments:
        arguments = cls()
        for part in parts:
            name = _NAMED.match(part)
            if name is None:
                arguments.numbered.append(part.strip())
            elif name[1].isdecimal() and name[1] == str(len(arguments.numbered) + 1):
                arguments.numbered.append(part[name.end() :].strip())
            else:
                arguments.named[name[1].lower()] = part[name.end() :].strip()
        return arguments

    def __getitem__(self, key: int | str) -> str:
        if isinstance(key, str):
            return self.named.get(key, "")
        return self.numbered[key - 1] if key <= len(self.numbered) else self.named.get(str(key), "")

    def first(self, *keys: int | str) -> str:
        """The first of these that is given and not empty."""
        return next((self[key] for key in keys if self[key]), "")


Renderer = Callable[[Arguments], str]


def render(name: str, parts: list[str]) -> str | None:
    """What a template shows; None if it shows nothing that belongs to the text.

    Args:
        name: as written, with any case and underscores.
        parts: its arguments as written.
    """
    name = name.strip().replace("_", " ").lower().removeprefix("template:")
    renderer = RENDERERS.get(name)
    if renderer is None:
        if name.startswith("lang-"):
            return _labelled_language(name[5:], Arguments.of(parts))
        head, colon, value = name.partition(":")
        if colon and head in ("formatnum", "lc", "uc", "ucfirst", "lcfirst", "nowrap"):
            return value.strip()
        return None
    return renderer(Arguments.of(parts)) or None


def is_rendered(name: str) -> bool:
    """Whether `render` may give anything for this name (lower case, single spaces)."""
    return name in RENDERERS or name.startswith(("lang-", "formatnum:", "lc:", "uc:", "ucfirst:", "lcfirst:"))


# --- languages -----------------------------------------------------------------------------------------------------

_LANGUAGE_NAMES = dict(
    pair.split("=")
    for pair in words(
        """
        ar=Arabic arc=Aramaic az=Azerbaijani be=Belarusian ber=Berber bg=Bulgarian bn=Bengali bs=Bosnian
        ca=Catalan cs=Czech cy=Welsh da=Danish de=German el=Greek en=English eo=Esperanto es=Spanish
        et=Estonian eu=Basque fa=Persian fi=Finnish fr=French fro=Old_French ga=Irish gd=Scottish_Gaelic
        gl=Galician got=Gothic grc=Ancient_Greek he=Hebrew hi=Hindi hr=Croatian hu=Hungarian hy=Armenian
        id=Indonesian is=Icelandic it=Italian ja=Japanese ka=Georgian kk=Kazakh ko=Korean ku=Kurdish la=Latin
        lb=Luxembourgish lt=Lithuanian lv=Latvian mi=Māori mk=Macedonian mn=Mongolian ms=Malay mt=Maltese
        my=Burmese ne=Nepali nl=Dutch no=Norwegian non=Old_Norse oc=Occitan ang=Old_English pa=Punjabi
        pl=Polish ps=Pashto pt=Portuguese ro=Romanian ru=Russian sa=Sanskrit sco=Scots sk=Slovak sl=Slovene
        sq=Albanian sr=Serbian sv=Swedish sw=Swahili ta=Tamil te=Telugu th=Thai tl=Tagalog tr=Turkish
        uk=Ukrainian ur=Urdu uz=Uzbek vi=Vietnamese xno=Anglo-Norman yi=Yiddish zh=Chinese
        """
    )
)


def _language_name(code: str) -> str:
    code = code.strip().lower()
    name = _LANGUAGE_NAMES.get(code) or _LANGUAGE_NAMES.get(code.partition("-")[0], "")
    return name.replace("_", " ")


def _labelled_language(code: str, arguments: Arguments) -> str:
    """{{lang-la|sciurus}}: Latin: sciurus. The dump does not say the names of languages, so they are English."""
    text = arguments.first(1, "text")
    name = _language_name(code)
    return f"{name}: {text}" if name and text and arguments["label"] != "none" else text


def _nihongo(arguments: Arguments) -> str:
    """{{nihongo|English|漢字|kanji|extra}}: English (漢字, kanji, extra)."""
    rest = ", ".join(filter(None, (arguments[2], arguments[3], arguments.first(4, "extra"))))
    if not arguments[1]:
        return rest
    return f"{arguments[1]} ({rest})" if rest else arguments[1]


def _chinese(arguments: Arguments) -> str:
    """{{zh|s=…|t=…|p=…}}: Chinese: …; pinyin: …."""
    labels = (("c", "Chinese"), ("s", "simplified Chinese"), ("t", "traditional Chinese"), ("p", "pinyin"))
    if arguments["labels"] == "no":
        return arguments.first("c", "s", "t", 1)
    return "; ".join(f"{label}: {arguments[key]}" for key, label in labels if arguments[key]) or arguments[1]


# --- numbers, units and dates --------------------------------------------------------------------------------------

_UNITS = {
    "km2": "km²", "m2": "m²", "cm2": "cm²", "mi2": "square miles", "sqmi": "square miles", "sq mi": "square miles",
    "sqkm": "km²", "sqft": "square feet", "sqm": "m²", "m3": "m³", "cm3": "cm³", "km3": "km³", "cuft": "cubic feet",
    "c": "°C", "f": "°F", "k": "K", "°c": "°C", "°f": "°F", "acre": "acres", "acres": "acres", "mi": "miles",
    "ft": "feet", "in": "inches", "lb": "pounds", "lbs": "pounds", "oz": "ounces", "yd": "yards",
    "nmi": "nautical miles", "pd/sqkm": "inhabitants per km²", "pd/sqmi": "inhabitants per square mile",
    "/km2": "per km²", "/sqmi": "per square mile", "impgal": "imperial gallons", "usgal": "US gallons",
    "u.s.gal": "US gallons", "kn": "knots", "g/cm3": "g/cm³", "m3/s": "m³/s", "km/h": "km/h", "cid": "cubic inches",
    "in3": "cubic inches", "e6acre": "million acres",
}  # fmt: skip
_RANGES = {
    "-": "–", "–": "–", "to": " to ", "and": " and ", "or": " or ", "x": " × ", "by": " by ", "+/-": " ± ", "±": " ± ",
    "to(-)": " to ", "and(-)": " and ", "*": " × ", "xx": " × ", "&": " and ",
}  # fmt: skip
_NUMBER = re.compile(r"[-+−]?[\d.,]*\d[\d.,/+ ]*(?:e[-+]?\d+)?", re.IGNORECASE)
_RANGE = re.compile(r"([\d.,]+) ?[-–] ?([\d.,]+)")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def _convert(arguments: Arguments) -> str:
    """{{convert|5|to|10|km|mi}}: 5 to 10 km. What it is converted to would have to be computed, and says no more."""
    words = arguments.numbered.copy()
    if words and (ends := _RANGE.fullmatch(words[0])):
        words[:1] = [ends[1], "-", ends[2]]
    if not words or not _NUMBER.fullmatch(words[0]):
        return ""
    text, position = words[0], 1
    while position + 1 < len(words) and words[position].lower() in _RANGES and _NUMBER.fullmatch(words[position + 1]):
        text += _RANGES[words[position].lower()] + words[position + 1]
        position += 2
    if position >= len(words):
        return text
    unit = words[position]
    if (
        unit.lower() in ("ft", "lb", "st", "yd", "mi")
        and position + 2 < len(words)
        and _NUMBER.fullmatch(words[position + 1])
    ):
        small = words[position + 2]
        if small.lower() in ("in", "oz", "lb", "ft", "yd"):
            return f"{text} {unit} {words[position + 1]} {small}"
    shown = unit if unit in ("C", "F", "K") else unit.lower()
    return f"{text} {_UNITS.get(shown.lower(), unit)}" if shown != "k" else f"{text} {unit}"


def _value(arguments: Arguments) -> str:
    """{{val|5.2|(3)|e=6|u=km}}: 5.2×10⁶ km."""
    power = arguments["e"]
    unit = arguments.first("u", "ul", "up", "upl")
    text = arguments[1] + (f"×10{_raised(power)}" if power else "")
    return f"{text} {unit}" if unit else text


def _raised(text: str) -> str:
    return f"{Mark.SUPERSCRIPT}{text}{Mark.SCRIPT_END}"


def _fraction(arguments: Arguments) -> str:
    """{{frac|1|2|3}}: 1 2/3; {{frac|2}}: 1/2."""
    match arguments.numbered[:3]:
        case [whole, above, below]:
            return f"{whole} {above}/{below}"
        case [above, below]:
            return f"{above}/{below}"
        case [below]:
            return f"1/{below}"
    return ""


def _date(arguments: Arguments) -> str:
    """{{start date|1994|3|15}}: 15 March 1994."""
    year, month, day = arguments[1], arguments[2], arguments[3]
    if not month.isdecimal() or not 1 <= int(month) <= len(_MONTHS):
        return " ".join(filter(None, (year, month, day)))  # {{date|1|janvier|1900}} has them in their order
    name = _MONTHS[int(month) - 1]
    return " ".join(filter(None, (day.lstrip("0"), name, year)))


def _death_date_and_age(arguments: Arguments) -> str:
    return _date(Arguments(arguments.numbered[:3]))


# --- the table -----------------------------------------------------------------------------------------------------


def _argument(*keys: int | str) -> Renderer:
    return lambda arguments: arguments.first(*keys)


def _constant(text: str) -> Renderer:
    return lambda arguments: text


def _money(sign: str) -> Renderer:
    return lambda arguments: sign + arguments[1] if arguments[1] else sign


def _ship(prefix: str) -> Renderer:
    return lambda arguments: f"{prefix} {arguments[1]}" + (f" ({arguments[2]})" if arguments[2] else "")


def _block(*keys: int | str) -> Renderer:
    """A quotation or list with paragraphs of its own."""

    def rendered(arguments: Arguments) -> str:
        text = arguments.first(*keys)
        return f"\n\n{text}\n\n" if text else ""

    return rendered


def _joined(separator: str) -> Renderer:
    return lambda arguments: separator.join(filter(None, arguments.numbered))


def _list(arguments: Arguments) -> str:
    return "\n" + "".join(f"* {item}\n" for item in arguments.numbered if item)


def _lowered_number(part: str) -> str:
    return f"{Mark.SUBSCRIPT}{part}{Mark.SCRIPT_END}" if part.isdecimal() else part


# Names with a bar between them, and what all of them show.
_RENDERED: list[tuple[str, Renderer]] = [
    # languages and scripts
    ("transl|transliteration|xlit", lambda a: a.first(3, 2, "text", 1)),
    ("ipa", lambda a: a[1] if len(a.numbered) == 1 else ""),  # {{IPA|en|…}} is how the title is spoken
    ("langx", lambda a: _labelled_language(a[1], Arguments(a.numbered[1:], a.named))),
    ("lang", _argument(2, "text")),
    ("wikt-lang|rtl-lang|script|native name|nativename", _argument(2)),
    ("script/hebrew|script/arabic|hebrew|unicode|polytonic|grc|iast|nastaliq|cyrillic|asiantitle", _argument(1)),
    ("nihongo|nihongo2|nihongo3|nihongo foot|nihongo krt", _nihongo),
    ("zh|zh-full|chinese", _chinese),
    # a word or phrase shown as it is, apart from its looks
    (("nowrap|nobr|nwr|nobreak|small|smaller|big|larger|resize|midsize|nobold|noitalic|normal|em|strong|bold|italics|"
      "smallcaps|sc|sc2|smcp|kbd|code|tt|mono|samp|var|mvar|math|tmath|keypress|key press|abbr|tooltip|vanchor|"
      "visible anchor|not a typo|typo|notatypo|sic|as written|underline|u|strikethrough|strike|center|centre|big math|"
      "gloss|longitem|red|green|blue|highlight|s|plain text|ill|interlanguage link|ill-wd2|link-interwiki|仮リンク|"
      "illm|interlanguage link multi|player|citation étrangère|emphasis|allow wrap"),
     _argument("lt", 1)),
    ("color|font color|colour|fontcolor|background color|bg|font|angle bracket color", _argument(2)),
    ("url|url2|official url", _argument(2)),
    ("angbr|angle bracket", lambda a: f"⟨{a[1]}⟩" if a[1] else ""),
    ("sup", lambda a: _raised(a[1])),
    ("sub", lambda a: f"{Mark.SUBSCRIPT}{a[1]}{Mark.SCRIPT_END}"),
    ("linktext|chem name", _joined("")),
    ("dfn|term|defn|bibleverse|bibleref|bibleref2|bible verse|quran-usc", _joined(" ")),
    ("flag|flagu|flagcountry|flagteam|fb|flag country|army|navy|air force", _argument(1)),
    ("sortname", lambda a: f"{a[1]} {a[2]}".strip()),
    ("uss", _ship("USS")), ("hms", _ship("HMS")), ("hmas", _ship("HMAS")), ("hmcs", _ship("HMCS")),
    ("rms", _ship("RMS")), ("ss", _ship("SS")), ("sms", _ship("SMS")), ("mv", _ship("MV")), ("ms", _ship("MS")),
    ("ship", lambda a: " ".join(filter(None, (a[1], a[2])))),
    # numbers, units and dates
    ("convert|cvt|conv|unité|unit", _convert),
    ("val|nombre", _value),
    ("nts|number table sorting|formatnum|num|format price|railgauge|track gauge", _argument(1)),
    ("frac|fraction|sfrac|half", _fraction),
    ("e", lambda a: "×10" + _raised(a[1])),
    ("10^", lambda a: "10" + _raised(a[1])),
    ("pow", lambda a: a[1] + _raised(a[2])),
    ("chem|chem2|chem/sandbox", lambda a: "".join(map(_lowered_number, a.numbered))),
    (("start date|end date|start-date|end-date|birth date|birth-date|death date|dts|date|film date|start date and age|"
     "birth date and age|formatdate|release date"), _date),
    ("death date and age", _death_date_and_age),
    ("as of", lambda a: ("as of " if a["lc"] else "As of ") + _date(a) if a[1] else ""),
    ("circa|c.|ca.|ca", lambda a: f"c. {a[1]}" + (f" – c. {a[2]}" if a[2] else "") if a[1] else "c."),
    ("floruit|fl.", lambda a: f"fl. {a[1]}" if a[1] else "fl."),
    ("reign|r.", lambda a: f"r. {a[1]}" + (f"–{a[2]}" if a[2] else "")),
    ("us$|usd|a$|c$|$", _money("$")), ("gbp|pound sterling|£", _money("£")), ("eur|euro|€", _money("€")),
    ("inr|indian rupee", _money("₹")), ("jpy|¥", _money("¥")),
    ("music", lambda a: {"sharp": "♯", "flat": "♭", "natural": "♮"}.get(a[1].lower(), a[1])),
    # paragraphs of their own
    (("quote|blockquote|quotation|cquote|bquote|rquote text|poemquote|poem quote|quotetext|zitat|citation bloc|"
     "verse translation"), _block("text", "quote", 1)),
    ("columns-list|columns list|div col content|plainlist|flatlist|collapsible text|col-list|multicol list",
     _block(1, "content", "list")),
    ("unbulleted list|ubl|ublist|vunblist|bulleted list|blist|plain list", _list),
    ("hlist|flat list|cslist|comma separated entries", _joined(", ")),
    ("s-|siècle", lambda a: a[1] + _raised(a[2] or "e")),
]  # fmt: skip
# Signs, and the templates that show nothing else (with underscores for spaces).
_SIGNS = {
    "–": "ndash en dash ndsh", " – ": "spaced_ndash snd snds spnd spaced_en_dash nsndns -snd", "—": "mdash em_dash",
    " — ": "spaced_mdash", "—\u200b": "mdashb emdash", " ": "nbsp space spaces thinsp thin_space hair_space nnbsp pad",
    "'": "' apostrophe", "'\"": "'\" '_\"", "\"'": "\"' \"_'", "'s": "'s", "·": "· dot middot •", "•": "bullet",
    Mark.PIPE: "! pipe", "=": "=", "ʻ": "okina ʻokina", "π": "pi", "†": "dagger extinct", "×": "times", "−": "minus",
    "[": "( bracket", "\n": "br crlf", "\u200d": "zwj", "…": "ellipsis ...", "/": "/", "⇌": "eqm",
}  # fmt: skip

RENDERERS = {name: renderer for names, renderer in _RENDERED for name in names.split("|")} | {
    name.replace("_", " "): _constant(sign) for sign, names in _SIGNS.items() for name in names.split()
}
