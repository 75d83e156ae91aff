"""From a page of a dump or a row of a file to a document, in whichever of its public shapes Wikipedia comes.

The shape is told row by row, so shapes can be mixed: `article_body` with `html` or `wikitext` (Wikimedia Enterprise),
`sections` (its Structured Contents), a plain `text` (wikimedia/wikipedia), or bare `wikitext`. Where both are there the
HTML is taken, because templates are expanded in it. Redirects, disambiguation pages and pages outside the articles'
namespace are no articles and are skipped.
"""

from __future__ import annotations

import re
from typing import Any

from lumilab.corpus.document import BadRecord, Document, Record, Skipped
from lumilab.corpus.wikipedia import parsoid, structured
from lumilab.corpus.wikipedia.article import sweep, with_title
from lumilab.corpus.wikipedia.dump import Page
from lumilab.corpus.wikipedia.namespaces import Namespaces
from lumilab.corpus.wikipedia.wikitext import wikitext_to_text

REDIRECT = Skipped("redirect")
DISAMBIGUATION = Skipped("disambiguation page")
NO_ARTICLE = Skipped("not an article")
NO_TEXT = Skipped("no readable text")

# The words for a redirect in the larger Wikipedias; the English one works in all of them.
_REDIRECT = re.compile(
    r"\s*#\s*(?:redirect(?:ion)?|weiterleitung|redirección|redireccion|rinvia|rinvio|redirecionamento|doorverwijzing|"
    r"перенаправление|перенапр|перенаправлення|patrz|przekieruj|tam|omdirigering|omdirigér|viderefør|uudelleenohjaus|"
    r"ohjaus|átirányítás|yönlendirme|yönlendir|přesměruj|ανακατευθυνση|転送|リダイレクト|重定向|넘겨주기|تحويل|הפניה|"
    r"تغییر_مسیر|đổi)\s*:?\s*\[\[",
    re.IGNORECASE,
)
# The templates of disambiguation pages, which MediaWiki lists in its `Disambiguationspage` message.
_DISAMBIGUATION = re.compile(
    r"\{\{\s*(?:template:)?(?:(?:[^\s_|{}]+[ _]){0,6}disambiguation(?:[ _](?:page|cleanup))?|"
    r"disambig(?:-cleanup)?|disamb|dab|"
    r"disam|dbig|hndis(?:-cleanup)?|geodis|hospitaldis|schooldis|airportdis|roaddis|numberdis|mathdab|callsigndis|"
    r"mil-unit-dis|letternumbercombdisambig|begriffsklärung|bkl|homonymie|homonymes|paronymie|patronymie|toponymie|"
    r"desambiguación|desambiguacion|des|disambigua|desambiguação|desambiguacao|dp|dpintro|dpcognome|неоднозначность|"
    r"многозначность|неоднозначність|disambig-pl|ujednoznacznienie|grensida?|förgrening|gren|flertydig|peker|täsmennyssivu|"
    r"egyért|rozcestník|anlamayrımı|"
    r"anlam[ _]ayrımı|αποσαφήνιση|aimai|曖昧さ回避|消歧义|消歧義|消歧义页|동음이의|"
    r"동음이의어[ _]문서|توضيح|פירושונים|ابهام‌زدایی|"
    r"định[ _]hướng|desambiguació|dezambiguizare)\s*[|}]"
    r"|__DISAMBIG__",
    re.IGNORECASE,
)
_DISAMBIGUATION_TITLE = re.compile(
    r" \((?:disambiguation|Begriffsklärung|homonymie|desambiguación|disambigua|desambiguação|doorverwijspagina|"
    r"значения|ujednoznacznienie|olika betydelser)\)$|（曖昧さ回避）$|\s\(曖昧さ回避\)$"
)
_DISAMBIGUATION_DESCRIPTION = re.compile(
    r"wikimedia disambiguation page|topics referred to by the same term|disambiguation page", re.IGNORECASE
)
_TITLE_CHARACTERS = 1000


def page_record(page: Page, source: str, root: str, name: str) -> Record:
    """What one page of a dump is to the corpus.

    Args:
        page: of the dump.
        source: name of the source.
        root, name: of the file.
    """
    if page.namespace != 0 or page.model != "wikitext":
        return NO_ARTICLE
    if page.is_redirect:
        return REDIRECT
    text = _of_wikitext(page.text, page.title, page.wiki.namespaces)
    if isinstance(text, Skipped):
        return text
    meta = {"title": page.title, "page": page.number} | ({"language": page.wiki.language} if page.wiki.language else {})
    return Document(f"{root}:{name}:{page.number}", text, source, page.wiki.url(page.title), meta)


def row_record(fields: Any, source: str, root: str, name: str, number: int) -> Record:
    """What one row, of JSON lines or parquet, is to the corpus.

    Args:
        fields: the row.
        source: name of the source.
        root, name: of the file.
        number: of the line or row, from 1.
    """
    if not isinstance(fields, dict):
        return BadRecord(root, name, number, "not a JSON object")
    title = fields.get("name", fields.get("title"))
    if not isinstance(title, str) or not title or len(title) > _TITLE_CHARACTERS:
        return BadRecord(root, name, number, "no title")
    if (_inner(fields, "namespace") or 0) != 0:
        return NO_ARTICLE
    text = _of_row(fields, title)
    if isinstance(text, Skipped):
        return text
    if text is None:
        return BadRecord(root, name, number, "no article text")
    url = fields.get("url")
    return Document(
        f"{root}:{name}:{number}", text, source, url if isinstance(url, str) and url else None, _meta(fields, title)
    )


def _of_row(fields: dict[str, Any], title: str) -> str | Skipped | None:
    """The text of a row, why it has none to give, or None if no shape fits it."""
    body = fields.get("article_body")
    html, wikitext = (body.get("html"), body.get("wikitext")) if isinstance(body, dict) else (None, None)
    if not isinstance(wikitext, str):
        wikitext = fields.get("wikitext")
    if isinstance(html, str) and html:
        return _of_html(html, title)
    if isinstance(wikitext, str):
        return _of_wikitext(wikitext, title, Namespaces())
    sections = structured.sections_of(fields)
    if sections is not None:
        return _of_sections(sections, title, fields.get("description"))
    text = fields.get("text")
    if isinstance(text, str):
        if _DISAMBIGUATION_TITLE.search(title):
            return DISAMBIGUATION
        return with_title(title, sweep(text.replace("]]", "]") if "[[" in text else text)) or NO_TEXT
    return None


def _of_wikitext(wikitext: str, title: str, namespaces: Namespaces) -> str | Skipped:
    if _REDIRECT.match(wikitext):
        return REDIRECT
    if _DISAMBIGUATION_TITLE.search(title) or _DISAMBIGUATION.search(wikitext):
        return DISAMBIGUATION
    return wikitext_to_text(wikitext, title, namespaces) or NO_TEXT


def _of_html(html: str, title: str) -> str | Skipped:
    if parsoid.is_redirect(html):
        return REDIRECT
    if parsoid.is_disambiguation(html) or _DISAMBIGUATION_TITLE.search(title):
        return DISAMBIGUATION
    return parsoid.html_to_text(html, title) or NO_TEXT


def _of_sections(sections: list[Any], title: str, description: Any) -> str | Skipped:
    if structured.is_redirect(sections):
        return REDIRECT
    described = isinstance(description, str) and _DISAMBIGUATION_DESCRIPTION.match(description)
    if described or _DISAMBIGUATION_TITLE.search(title):
        return DISAMBIGUATION
    return structured.sections_to_text(sections, title) or NO_TEXT


def _meta(fields: dict[str, Any], title: str) -> dict[str, Any]:
    meta: dict[str, Any] = {"title": title}
    page = fields.get("identifier", fields.get("id"))
    if isinstance(page, int | str) and len(str(page)) <= 20:
        meta["page"] = str(page)
    language = _inner(fields, "in_language")
    if isinstance(language, str) and len(language) <= 20:
        meta["language"] = language
    return meta


def _inner(fields: dict[str, Any], name: str) -> Any:
    """The identifier of an object of Enterprise's schema, such as {"namespace": {"identifier": 0}}."""
    value = fields.get(name)
    return value.get("identifier") if isinstance(value, dict) else value
