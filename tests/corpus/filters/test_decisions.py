"""The filters' decisions, reasons and changed texts beside datatrove's own filters, on real documents of many kinds."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

pytest.importorskip("datatrove")

from datatrove_judge import all_judges, every_reason, verdicts
from real_texts import Named, real_texts, spoilt

from lumilab.corpus.filters import Filters, build_filters
from lumilab.recipe.filters import FiltersConfig

JUDGES = all_judges()


class Comparison:
    """Judges texts in both ways and keeps count."""

    def __init__(self) -> None:
        self.filters: dict[str, Filters] = {}
        for name, (config, _) in JUDGES.items():
            built = build_filters(FiltersConfig.model_validate(config))
            assert built is not None
            self.filters[name] = built
        self.documents = 0
        self.reasons: Counter[str | None] = Counter()
        self.equal: Counter[str] = Counter()
        self.different: list[str] = []

    def add(self, texts: Iterable[Named]) -> None:
        """Judges each text by every filter and chain."""
        for name, text in texts:
            self.documents += 1
            decide = verdicts(text)
            for way, (_, chain) in JUDGES.items():
                theirs, ours = decide(chain), self.filters[way].apply(text)
                self.reasons[theirs.reason] += 1
                if (ours.reason, ours.text) == (theirs.reason, theirs.text):
                    self.equal[way] += 1
                else:
                    changed = " (another text)" if ours.reason == theirs.reason else ""
                    self.different.append(f"{name}, {way}: {ours.reason}, datatrove {theirs.reason}{changed}")

    def report(self) -> str:
        """The counts as lines."""
        decisions = self.documents * len(JUDGES)
        lines = [f"{self.documents} documents, {self.equal.total()} of {decisions} decisions equal to datatrove's"]
        lines += [f"  {way}: {self.equal[way]} of {self.documents}" for way in JUDGES]
        lines += [f"  {count:7} {reason or 'kept'}" for reason, count in self.reasons.most_common()]
        return "\n".join(lines + self.different)


def test_decides_as_datatrove_does(shared_data: Path) -> None:
    """A few of every kind, as they are and spoilt."""
    comparison = Comparison()
    texts = list(real_texts(shared_data, each=9, longest=800))
    comparison.add(texts)
    comparison.add(spoilt(*text) for text in texts)
    assert comparison.different == [], comparison.report()
    assert comparison.documents > 200


@pytest.mark.long
@pytest.mark.timeout(3_000)
def test_decides_as_datatrove_does_on_thousands_of_documents(
    shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At least 5 000 real documents, the same again spoilt; every rule drops some of them."""
    comparison = Comparison()
    comparison.add(real_texts(shared_data, longest=2_500))
    real = comparison.documents
    comparison.add(spoilt(*text) for text in real_texts(shared_data, longest=1_000))
    with capsys.disabled():
        sys.stdout.write(f"\n{real} real documents, then the same spoilt: {comparison.report()}\n")
    assert real >= 5_000
    assert comparison.different == []
    # No text here has more than 100 000 words or nothing at all in it.
    never = {"gopher_repetition: empty", "gopher_quality: too many words", "fineweb: empty"}
    assert set(every_reason()) - set(comparison.reasons) <= never
