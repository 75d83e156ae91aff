"""Learning with sentencepiece, and from sources in given shares."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st
from tiny_corpus import publish_corpus, quiet_context, some_documents

from lumilab.artifact import Artifact
from lumilab.corpus.document import Document
from lumilab.corpus.shards import read_documents
from lumilab.errors import ConfigError, InputError
from lumilab.recipe.tokenizer import TokenizerConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.tokenizer.probe import probe_texts
from lumilab.tokenizer.sample import MixedSample
from lumilab.tokenizer.special_tokens import RESERVED
from lumilab.tokenizer.train import train_tokenizer


@pytest.fixture(scope="module", params=["sentencepiece_bpe", "sentencepiece_unigram"])
def learned(request: pytest.FixtureRequest, corpus: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    config = TokenizerConfig(algorithm=request.param, vocabulary_size=600)
    return train_tokenizer(config, corpus, tmp_path_factory.mktemp("sp") / "t", quiet_context()[0])


def test_its_ids_are_sentencepieces(learned: Artifact) -> None:
    tokenizer = Tokenizer.load(learned.path)
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(learned.path / "tokenizer.model"))
    assert tokenizer.vocabulary_size == theirs.get_piece_size()
    texts = [*probe_texts(), *(document.text for document in some_documents(50, seed=9))]
    assert [tokenizer.encode(text) for text in texts] == theirs.encode(texts)

    @given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40))
    def same(text: str) -> None:
        ids = tokenizer.encode(text)
        assert ids == theirs.encode(text)
        assert min(ids, default=72) >= 72
        # The one character that SentencePiece has a use of its own for comes back as the space it stands for.
        assert tokenizer.decode(ids) == text.replace("▁", " ")

    same()


def test_its_reserved_ids_are_those_of_every_tokenizer_learned_here(learned: Artifact) -> None:
    tokenizer = Tokenizer.load(learned.path)
    assert [tokenizer.special_names[token] for token in range(72)] == list(RESERVED)
    assert (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id, tokenizer.unk_id) == (0, 1, 2, 3)
    assert all(tokenizer.token_bytes(72 + byte) == bytes([byte]) for byte in range(256))
    assert [tokenizer.token_bytes(token) for token in tokenizer.encode("1984")] == [b"1", b"9", b"8", b"4"]


def test_pieces_encoded_one_by_one_have_no_stray_spaces(learned: Artifact) -> None:
    tokenizer = Tokenizer.load(learned.path)
    ids = [*tokenizer.encode("user\n"), *tokenizer.encode("the river"), *tokenizer.encode(" and")]
    assert tokenizer.decode(ids) == "user\nthe river and"


def test_learning_again_gives_equal_bytes(learned: Artifact, corpus: Artifact, tmp_path: Path) -> None:
    config = TokenizerConfig.model_validate(learned.manifest.config["tokenizer"])
    again = train_tokenizer(config, corpus, tmp_path / "t", quiet_context()[0])
    assert again.digest == learned.digest


@pytest.mark.parametrize("algorithm", ["sentencepiece_bpe", "sentencepiece_unigram"])
def test_too_little_text_for_sentencepiece_is_said_or_enough(tmp_path: Path, algorithm: str) -> None:
    corpus = publish_corpus(tmp_path / "corpus", [Document("one", "abc\x00 \n", "s")])
    config = TokenizerConfig.model_validate({"algorithm": algorithm, "vocabulary_size": 512})
    try:
        trained = train_tokenizer(config, corpus, tmp_path / "t", quiet_context()[0])
    except InputError as error:
        assert "vocabulary_size" in str(error)
        assert not (tmp_path / "t").exists()
    else:
        assert Tokenizer.load(trained.path).vocabulary_size <= 512


# --- the mixture -----------------------------------------------------------------------------------------------------


def test_the_learning_text_has_the_shares_asked(corpus: Artifact, tmp_path: Path) -> None:
    config = TokenizerConfig(vocabulary_size=512, weights={"tiny": 1, "other|one": 3}, train_characters=6_000)
    trained = train_tokenizer(config, corpus, tmp_path / "t", quiet_context()[0])
    card: dict[str, Any] = json.loads((trained.path / "card.json").read_bytes())
    longest = max(len(document.text) for document in read_documents(corpus))
    assert card["trained_on"] == pytest.approx({"other|one": 4_500, "tiny": 1_500}, abs=longest)
    page = (trained.path / "TOKENIZER_CARD.md").read_text(encoding="utf-8")
    assert f"| other\\|one | {card['trained_on']['other|one']:,} | 7" in page


def test_a_source_without_weight_is_not_learned_from(tmp_path: Path) -> None:
    documents = [Document("a", "xyxy " * 50, "a"), Document("b", "zwzw " * 50, "b")]
    corpus = publish_corpus(tmp_path / "corpus", documents)
    config = TokenizerConfig(vocabulary_size=512, weights={"a": 1.0})
    tokenizer = Tokenizer.load(train_tokenizer(config, corpus, tmp_path / "t", quiet_context()[0]).path)
    learned = {tokenizer.token_bytes(token) for token in range(328, tokenizer.vocabulary_size)}
    assert b"xy" in learned
    assert not any(b"z" in token for token in learned)


@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(100, 5_000), min_size=1),
    st.one_of(st.none(), st.integers(50, 9_000)),
    st.data(),
)
def test_shares_hold_whatever_there_is(characters: dict[str, int], target: int | None, data: st.DataObject) -> None:
    weights = data.draw(st.dictionaries(st.sampled_from(sorted(characters)), st.floats(0.2, 5)))
    sample = MixedSample(characters, target, weights)
    for source, count in sorted(characters.items()):
        for _ in range(count):
            sample.take(source, "x")
    taken, total = sample.taken, sum(sample.taken.values())
    assert total <= min(target or 10**9, sum(characters.values())) + len(characters)
    wanted = weights or characters
    for source in wanted:
        assert taken[source] <= characters[source]
        assert taken[source] == pytest.approx(total * wanted[source] / sum(wanted.values()), abs=len(characters) + 1)


def test_a_weight_for_no_source_is_refused(corpus: Artifact, tmp_path: Path) -> None:
    config = TokenizerConfig(vocabulary_size=512, weights={"tinny": 1})
    with pytest.raises(ConfigError, match=r"tinny.*other\|one, tiny"):
        train_tokenizer(config, corpus, tmp_path / "t", quiet_context()[0])
