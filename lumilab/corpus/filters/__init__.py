"""Quality filters: which documents are good enough to learn from.

`build_filters` turns the recipe's section into one `Filters`, which judges a document in one pass of compiled kernels.
The order is FineWeb's: language, length, Gopher repetition, Gopher quality, C4, FineWeb. The decisions are those of
datatrove 0.10.1 (docs/filters.md has the comparison). Kernels are compiled when they are first used.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lumilab.recipe.filters import FiltersConfig, LanguageFilter

if TYPE_CHECKING:
    from lumilab.corpus.filters.rules import Rule
    from lumilab.corpus.filters.workspace import Workspace
    from lumilab.corpus.language import LanguageIdentifier


@dataclass(frozen=True)
class Verdict:
    """What the filters say of a document: its text, perhaps changed; why it is dropped, or None; what was found out."""

    text: str
    reason: str | None = None
    meta: dict[str, Any] = field(default_factory=dict)


def build_filters(config: FiltersConfig) -> Filters | None:
    """The filters of a recipe, or None when all are off."""
    sections = [getattr(config, name) for name in FiltersConfig.model_fields if name != "preset"]
    return Filters(config) if any(section is not None for section in sections) else None


class Filters:
    """Judges documents one at a time. One per thread or process: it keeps the memory of the longest document so far."""

    def __init__(self, config: FiltersConfig) -> None:
        self._language = config.language
        self._rules = _rules(config)
        self._changes_text = config.c4 is not None
        self._identifier: LanguageIdentifier | None = None
        self._workspace: Workspace | None = None

    def apply(self, text: str) -> Verdict:
        """The verdict on a text. The reason is that of the first rule that fails it: a filter, a colon, a phrase.

        A dropped document keeps the text it came with. `meta` holds `language` and `language_score` if they were asked.
        """
        meta: dict[str, Any] = {}
        if self._language is not None:
            language, score = self._identify(text, self._language)
            meta = {"language": language, "language_score": score}
            if language not in self._language.languages:
                return Verdict(text, "language: not a wanted one", meta)
            if score <= self._language.min_score:
                return Verdict(text, "language: uncertain", meta)
        if not self._rules:
            return Verdict(text, None, meta)
        workspace = self._read(text)
        for rule in self._rules:
            reason = rule.check(workspace)
            if reason is not None:
                return Verdict(text, reason, meta)
        return Verdict(workspace.text() if self._changes_text else text, None, meta)

    def _identify(self, text: str, config: LanguageFilter) -> tuple[str, float]:
        if self._identifier is None:
            from lumilab.corpus.language import LanguageIdentifier

            self._identifier = LanguageIdentifier(Path(config.model_file) if config.model_file else None)
        return self._identifier.identify(text)

    def _read(self, text: str) -> Workspace:
        if self._workspace is None:
            from lumilab.corpus.filters.workspace import Workspace

            self._workspace = Workspace()
        self._workspace.read(text)
        return self._workspace


def _rules(config: FiltersConfig) -> list[Rule]:
    """The rules that are on, in their order."""
    if config.model_dump(exclude={"preset", "language"}, exclude_none=True) == {}:
        return []
    from lumilab.corpus.filters import rules

    found: list[Rule] = []
    if config.length:
        found.append(rules.Length(config.length))
    if config.gopher_repetition:
        found.append(rules.Repetition(config.gopher_repetition))
    if config.gopher_quality:
        found.append(rules.Quality(config.gopher_quality))
    if config.c4:
        found.append(rules.Lines(config.c4))
    if config.c4_paragraphs:
        found.append(rules.Paragraphs(config.c4_paragraphs))
    if config.fineweb:
        found.append(rules.LineShape(config.fineweb))
    return found
