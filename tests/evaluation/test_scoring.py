"""Continuations scored with shared beginnings, against transformers reading each text alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_chat import publish_model, tiny_model
from transformers import AutoModelForCausalLM

from lumilab.artifact import Artifact
from lumilab.errors import InputError
from lumilab.evaluation import scoring
from lumilab.evaluation.prefix_trees import Rows, batches, common_length, plant
from lumilab.evaluation.scoring import Continuation, score
from lumilab.model import Transformer
from lumilab.tokenizer.load import Tokenizer

TEXTS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=9).map(tuple), min_size=1, max_size=20)


@given(TEXTS, st.integers(1, 30))
def test_each_text_is_in_one_tree_and_can_be_read_from_it(texts: list[tuple[int, ...]], row_tokens: int) -> None:
    trees = plant(texts, row_tokens, 1e9)
    assert sorted(number for tree in trees for number in tree.numbers) == list(range(len(texts)))
    for tree in trees:
        assert len(tree) <= row_tokens or len(tree.numbers) == 1
        for index, number in enumerate(tree.numbers):
            read = tuple(tree.tokens[tree.place(index, place)] for place in range(len(texts[number])))
            assert read == texts[number]
    assert sum(map(len, trees)) <= sum(map(len, texts))


@given(TEXTS)
def test_a_token_sees_its_own_text_and_nothing_else(texts: list[tuple[int, ...]]) -> None:
    for batch in batches(plant(texts, 64, 1e9), 40):
        rows = Rows.of(batch)
        if rows.branches is None or rows.positions is None:
            continue
        for row, tree in enumerate(batch):
            for index, number in enumerate(tree.numbers):
                places = [tree.place(index, place) for place in range(len(texts[number]))]
                assert rows.positions[row, places].tolist() == list(range(len(places)))
                own = rows.branches[row, places[-1]]
                seen = [
                    place
                    for place in range(places[-1] + 1)
                    if rows.branches[row, place] == 0 or rows.branches[row, place] == own
                ]
                assert seen == places


def test_what_would_cost_attention_more_than_it_saves_is_not_joined() -> None:
    texts = [(1, number, *range(50)) for number in range(10)]
    assert len(plant(texts, 10_000, pairs=1e9)) == 1
    assert len(plant(texts, 10_000, pairs=10)) == 10
    long = [(*range(400), number) for number in range(10)]  # here joining saves attention, too
    assert len(plant(long, 10_000, pairs=10)) == 1


def test_what_two_texts_share() -> None:
    assert common_length((1, 2, 3), (1, 2, 4, 5)) == 2
    assert common_length((), (1,)) == 0


@pytest.fixture(scope="module")
def theirs(tokenizer_artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> torch.nn.Module:
    checkpoint = publish_model(tmp_path_factory.mktemp("scored") / "model", tokenizer_artifact)
    theirs: torch.nn.Module = AutoModelForCausalLM.from_pretrained(checkpoint.path, dtype=torch.float32)
    return theirs.eval()


@pytest.fixture(scope="module")
def model(tokenizer_artifact: Artifact) -> Transformer:
    return tiny_model(Tokenizer.load(tokenizer_artifact.path))


def alone(theirs: torch.nn.Module, one: Continuation, context: int) -> tuple[float, bool]:
    """By one pass over the text alone, cut as lm-evaluation-harness cuts it."""
    ids = torch.tensor([(one.context + one.target)[-(context + 1) :]])
    with torch.no_grad():
        logits = theirs(ids[:, :-1]).logits[0, -len(one.target) :].double().log_softmax(-1)
    target = torch.tensor(one.target)
    return float(logits.gather(1, target[:, None]).sum()), bool((logits.argmax(-1) == target).all())


@settings(max_examples=15, deadline=None)
@given(drawn=st.data())
def test_scores_are_those_of_each_text_alone(drawn: st.DataObject, model: Transformer, theirs: torch.nn.Module) -> None:
    token = st.integers(0, model.vocabulary_size - 1)
    stems = drawn.draw(st.lists(st.lists(token, min_size=1, max_size=140).map(tuple), min_size=1, max_size=4))
    ends = st.lists(token, min_size=1, max_size=20).map(tuple)
    asked = [Continuation(drawn.draw(st.sampled_from(stems)), drawn.draw(ends)) for _ in range(8)]
    asked += asked[:2]
    found = dict(score(model, asked))
    assert sorted(found) == list(range(len(asked)))
    for number, one in enumerate(asked):
        nats, greedy = alone(theirs, one, model.config.context)
        assert found[number].log_probability == pytest.approx(nats, abs=1e-3, rel=1e-5)
        assert found[number].greedy == greedy


def test_small_batches_and_chunks_change_nothing(model: Transformer, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = torch.Generator().manual_seed(3)
    stem = tuple(torch.randint(0, model.vocabulary_size, (30,), generator=draw).tolist())
    asked = [
        Continuation(stem, tuple(torch.randint(0, model.vocabulary_size, (5,), generator=draw).tolist()))
        for _ in range(6)
    ]
    whole = dict(score(model, asked))
    monkeypatch.setattr(scoring, "BATCH_TOKENS", {"cpu": 1})
    monkeypatch.setattr(scoring, "ROW_TOKENS", 1)
    monkeypatch.setattr(scoring, "CHUNK_SCORES", 1)
    for number, one in score(model, asked):
        assert one.log_probability == pytest.approx(whole[number].log_probability, abs=1e-4)
        assert one.greedy == whole[number].greedy


def test_what_is_shared_is_read_once(model: Transformer, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    features = Transformer.features
    monkeypatch.setattr(
        Transformer, "features", lambda self, ids, **more: (read.append(ids.numel()), features(self, ids, **more))[1]
    )
    stem = tuple(range(2, 92))
    list(score(model, [Continuation(stem, (5, number)) for number in range(4)]))
    assert sum(read) == 91  # the continuations' first token is one for all, their last ones are not read
    read.clear()
    list(score(model, [Continuation(stem, (number, 5)) for number in range(4)]))
    assert sum(read) == 94


@pytest.mark.parametrize("target", [(), tuple(range(129))])
def test_what_cannot_be_predicted_is_refused(model: Transformer, target: tuple[int, ...]) -> None:
    with pytest.raises(InputError):
        list(score(model, [Continuation((1,), target)]))
