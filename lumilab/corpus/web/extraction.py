"""The main text of a web page, without navigation, advertising, comments and other boilerplate.

Three steps, each measured by `bench/extraction.py` against text picked by hand:

1. Blocks that are nearly all links go (menus, lists of related articles, tag clouds): link density is the strongest
   single sign of boilerplate (Kohlschütter, Fankhauser, Nejdl, "Boilerplate Detection using Shallow Text Features",
   WSDM 2010).
2. trafilatura picks the main text, preferring precision over recall, as FineWeb does (Penedo et al. 2024, section
   3.2), and without its slower second opinions, which change nothing then.
3. Lines at the very end that ask to subscribe, follow or read on go. Anywhere else such a line may be part of the text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lumilab.corpus.web.encoding import decode_page

if TYPE_CHECKING:
    from lxml.html import HtmlElement

_BLOCKS = frozenset({"aside", "div", "nav", "ol", "section", "ul"})
_WITHOUT_TEXT = frozenset({"noscript", "script", "style", "template"})
LINK_SHARE = 0.9  # of a block's characters
MIN_LINKS = 3  # a block with fewer may be a heading, or an article that is one long link

MAX_CLOSING_CHARACTERS = 250  # a longer line is a paragraph of the text
_CLOSING = re.compile(
    r"""\W*(?:
        related\b | recommended\b | read\ (?:more|next|also|the\ full)\b | see\ also\b | also\ read\b
      | more\ (?:from|on|stories|in\ this)\b | you\ may\ also\ like\b | continue\ reading\b
      | follow\ (?:us|me|@|\w+\ on)\b | like\ us\ on\b | share\ (?:this|on)\b | sign\ up\b | subscribe\b | newsletter\b
      | get\ (?:the\ latest|our|access)\b | have\ a\ tip\b | click\ here\b | download\ (?:the|our)\ app\b
      | watch(?:\ now)?: | listen\ to\b | story\ continues\b | advertis | sponsored\b
      | filed\ under\b | tags?: | posted\ (?:in|on)\b | categories\b | comments?\b | leave\ a\ (?:comment|reply)\b
      | view\ (?:gallery|comments)\b | (?:photo|credit): | copyright\b | © | all\ rights\ reserved\b
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_EMPTY_TABLE_LINE = re.compile(r"[|\s-]*")


def extract_text(html: bytes, url: str | None = None, charset: str | None = None) -> str | None:
    """The main text of a page, one paragraph, heading, list item or table row on each line; None where there is none.

    Args:
        html: the page's bytes.
        url: where it was found.
        charset: what the HTTP header's Content-Type says, if known.
    """
    import trafilatura

    # The parser wants no NUL and no character that XML forbids.
    tree = trafilatura.load_html(decode_page(html, charset).replace("\0", ""))
    if tree is None:
        return None
    _drop_link_blocks(tree)
    text = trafilatura.extract(tree, url=url, include_comments=False, favor_precision=True, fast=True)
    return _without_closing_lines(text) if text else None


def _drop_link_blocks(tree: HtmlElement) -> None:
    """Removes every block of which nearly all text is in links; linear in the size of the page."""
    elements = list(tree.iter())
    characters: dict[HtmlElement, int] = {}
    in_links: dict[HtmlElement, int] = {}
    links: dict[HtmlElement, int] = {}
    doomed = []
    # Backwards every element comes after all that it holds, so its sums are complete.
    for element in reversed(elements):
        own = inside = count = 0
        if isinstance(element.tag, str) and element.tag not in _WITHOUT_TEXT:
            own = characters.pop(element, 0) + len((element.text or "").strip())
            inside, count = in_links.pop(element, 0), links.pop(element, 0)
            if element.tag == "a":
                inside, count = own, 1
            if element.tag in _BLOCKS and count >= MIN_LINKS and inside >= LINK_SHARE * own:
                doomed.append(element)
        parent = element.getparent()
        if parent is not None:
            characters[parent] = characters.get(parent, 0) + own + len((element.tail or "").strip())
            in_links[parent] = in_links.get(parent, 0) + inside
            links[parent] = links.get(parent, 0) + count
    for element in doomed:
        if element.getparent() is not None:
            element.drop_tree()


def _without_closing_lines(text: str) -> str | None:
    lines = [line for line in text.split("\n") if not _EMPTY_TABLE_LINE.fullmatch(line)]
    kept = len(lines)
    while kept and len(lines[kept - 1]) <= MAX_CLOSING_CHARACTERS and _CLOSING.match(lines[kept - 1]):
        kept -= 1
    return "\n".join(lines[: kept or len(lines)]) or None
