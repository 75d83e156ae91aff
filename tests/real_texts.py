"""Real texts of many kinds, and the same texts spoilt, for tests that hold two implementations side by side.

Web pages with their menus, encyclopaedia articles, raw wikitext, stories, chapters of novels, program code,
and prose in some seventy languages (spaCy's examples). Each text has a name by which a failing test can point to it.
"""

from __future__ import annotations

import ast
import bz2
import gzip
import json
import random
import re
import sysconfig
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TypeGuard

Named = tuple[str, str]  # a name and a text


def real_texts(shared: Path, each: int | None = None, longest: int = 12_000) -> Iterator[Named]:
    """The texts in a fixed order, at most `each` of every kind, of each the first `longest` characters."""
    kinds: tuple[Iterator[Named], ...] = (
        _json_lines(sorted((shared / "c4-sample").glob("*.jsonl"))),
        _json_lines(sorted((shared / "web-crawl-fixtures").glob("*.jsonl"))),
        _page_texts(shared / "web-pages" / "html"),
        _crawled_texts(shared / "web-crawl-fixtures"),
        _json_lines(sorted((shared / "wikipedia-en-2015").glob("*.jsonl.gz"))),
        _wikitext(shared / "wiki-dump"),
        _enterprise_texts(shared / "wikimedia-enterprise"),
        _wikitext_2(shared / "wikitext-2" / "wiki.valid.tokens"),
        _stories(shared / "tinystories" / "tinystories.txt.gz"),
        _chapters(shared / "novels"),
        _program_code(),
        many_languages(),
    )
    for texts in kinds:
        for name, text in islice(texts, each):
            if text:
                yield name, text[:longest]


def many_languages() -> Iterator[Named]:
    """The sentences and the frequent words that spaCy has for a language, each as a text of lines."""
    package = find_spec("spacy")
    for folder in package.submodule_search_locations or () if package else ():
        for path in sorted((Path(folder) / "lang").glob("*/*.py")):
            if path.name in ("examples.py", "stop_words.py"):
                # Read, not imported: languages import much else.
                tree = ast.parse(path.read_text(encoding="utf-8"))
                strings = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
                yield f"{path.parent.name}/{path.name}", "\n".join(filter(_is_text, strings))


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str)


def spoilt(name: str, text: str) -> Named:
    """The text with one thing done to it that quality filters look for; the name decides which."""
    draw = random.Random(name)
    way = draw.choice(_WAYS)
    return f"{name} ({way.__name__.strip('_')})", way(text, draw)


def _json_lines(paths: list[Path]) -> Iterator[Named]:
    for path in paths:
        open_text = gzip.open if path.suffix == ".gz" else open
        with open_text(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                yield f"{path.name}:{number}", json.loads(line)["text"]


def _visible_text(html: bytes | str) -> str:
    """All text of a page, its menus too, as a crawl's plain text has it."""
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding

    page = html if isinstance(html, str) else bytes_to_str(html, detect_encoding(html))
    return str(extract_plain_text(page, preserve_formatting=True, main_content=False))


def _page_texts(folder: Path) -> Iterator[Named]:
    for path in sorted(folder.glob("*.html.gz")):
        yield path.name[:12], _visible_text(gzip.decompress(path.read_bytes()))


def _crawled_texts(folder: Path) -> Iterator[Named]:
    """The text of a crawl's pages, and of the records that are text already."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    for path in sorted([*folder.glob("*.warc.gz"), *folder.glob("*.wet.gz")]):
        with path.open("rb") as stream:
            kinds = WarcRecordType.response | WarcRecordType.conversion
            for number, record in enumerate(ArchiveIterator(stream, record_types=kinds)):
                body = record.reader.read()
                is_page = b"<html" in body[:2_000].lower()
                yield f"{path.name}:{number}", _visible_text(body) if is_page else body.decode("utf-8", "replace")


def _wikitext(folder: Path) -> Iterator[Named]:
    """Raw wikitext, full of brackets and lists."""
    with bz2.open(folder / "enwiki-pages-articles-shortened.xml.bz2", "rt", encoding="utf-8") as dump:
        lines: list[str] = []
        for number, line in enumerate(dump):
            lines = [line.partition(">")[2]] if line.lstrip().startswith("<text") else [*lines, line]
            if line.endswith("</text>\n"):
                yield f"wikitext:{number}", "".join(lines)


def _enterprise_texts(folder: Path) -> Iterator[Named]:
    """Articles in German, English and Russian."""
    for number, line in enumerate((folder / "articles-squirrel.ndjson").read_text(encoding="utf-8").split("\n")):
        if line:
            yield f"squirrel:{number}", _visible_text(json.loads(line)["article_body"]["html"])


def _wikitext_2(path: Path) -> Iterator[Named]:
    """Articles with spaces between all words and signs."""
    for number, text in enumerate(re.split(r"\n (?== [^=])", path.read_text(encoding="utf-8"))):
        yield f"wikitext-2:{number}", text


def _stories(path: Path) -> Iterator[Named]:
    text = gzip.decompress(path.read_bytes()).decode()
    for number, story in enumerate(text.split("<|endoftext|>")):
        yield f"story:{number}", story.strip()


def _chapters(folder: Path) -> Iterator[Named]:
    for path in sorted(folder.glob("*.txt.gz")):
        text = gzip.decompress(path.read_bytes()).decode("utf-8", "replace")
        for number, chapter in enumerate(re.split(r"\n(?=(?:CHAPTER|Chapter) )", text)):
            yield f"{path.name}:{number}", chapter


def _program_code() -> Iterator[Named]:
    """The modules of Python's library."""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        yield path.name, path.read_text(encoding="utf-8", errors="replace")


# --- ways to spoil a text -----------------------------------------------------------------------------------------


def _sentence_a_line(text: str, _: random.Random) -> str:
    return re.sub(r"(?<=[.!?]) +", "\n", text)


def _shuffled_lines(text: str, draw: random.Random) -> str:
    lines = text.split("\n")
    draw.shuffle(lines)
    return "\n".join(lines)


def _repeated_lines(text: str, draw: random.Random) -> str:
    lines = text.split("\n")
    return "\n".join([*lines, *draw.choices(lines, k=draw.randint(0, len(lines)))])


def _repeated_words(text: str, draw: random.Random) -> str:
    words = text.split(" ")
    size, first = draw.randint(2, 12), draw.randrange(len(words))
    return " ".join([*words, *(words[first : first + size] * draw.randint(1, 2 + len(words) // 8))])


def _repeated_paragraphs(text: str, draw: random.Random) -> str:
    paragraphs = re.split(r"\n+", text.strip())
    return "\n\n".join([*paragraphs, *paragraphs[: draw.randint(0, len(paragraphs))]])


def _beginning(text: str, draw: random.Random) -> str:
    return text[: draw.randint(1, 800)]


def _broken_lines(text: str, draw: random.Random) -> str:
    width = draw.randint(3, 40)
    return "\n".join(text[first : first + width] for first in range(0, len(text), width))


def _bullets(text: str, draw: random.Random) -> str:
    mark = draw.choice(["• ", "- ", "  -", "# ", "\t• "])
    return "\n".join(mark + line if draw.random() < 0.97 else line for line in text.split("\n"))


def _trailing_off(text: str, draw: random.Random) -> str:
    end, share = draw.choice(["...", "…", "... "]), draw.random()
    return "\n".join(line + end if draw.random() < share else line for line in text.split("\n"))


def _more_signs(text: str, draw: random.Random) -> str:
    sign, share = draw.choice(["#", "1", "…", "...", "a", "%", "antidisestablishmentarianism"]), draw.random()
    return " ".join(f"{word} {sign}" if draw.random() < share else word for word in text.split(" "))


def _policy_lines(text: str, draw: random.Random) -> str:
    phrases = [
        "Lorem IPSUM",
        "JavaScript",
        "Terms of Use",
        "{",
        "this site uses cookies",
        "x" * 1_001,
        "[12]",
        "[edit]",
    ]
    lines = text.split("\n")
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(lines))
        lines[place] += f" and {draw.choice(phrases)} is here."
    return "\n".join(lines)


def _odd_line_ends(text: str, draw: random.Random) -> str:
    return re.sub("\n", lambda _: draw.choice(["\r\n", "\r", "\u2028", "\n\n", "\n \n", "\x0b", "\x85"]), text)


def _capitals(text: str, _: random.Random) -> str:
    return text.upper()


_WAYS: tuple[Callable[[str, random.Random], str], ...] = (
    *(_sentence_a_line, _shuffled_lines, _repeated_lines, _repeated_words, _repeated_paragraphs, _beginning),
    *(_broken_lines, _bullets, _trailing_off, _more_signs, _policy_lines, _odd_line_ends, _capitals),
)
