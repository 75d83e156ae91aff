"""Tokenizers learned elsewhere: the ids of the libraries they come from, whatever form their files have."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from stand_in_hub import Repository, StandInHub, environment, stand_in_hub
from tiny_corpus import quiet_context
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

from lumilab.artifact import Artifact
from lumilab.errors import ConfigError, InputError, LumiError, MismatchError
from lumilab.recipe.tokenizer import TokenizerConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.tokenizer.pretrained import import_tokenizer
from lumilab.tokenizer.probe import probe_texts

Record = dict[str, Any]


@pytest.fixture(scope="module")
def references(shared_data: Path) -> Path:
    return shared_data / "tokenizers"


def taken(path: Path | None, target: Path, **options: Any) -> Tokenizer:
    artifact = imported(path, target, **options)
    return Tokenizer.load(artifact.path)


def imported(path: Path | None, target: Path, **options: Any) -> Artifact:
    place = {"model_file": str(path)} if path else {}
    config = TokenizerConfig(algorithm="pretrained", **place, **options.pop("config", {}))
    return import_tokenizer(config, target, options.pop("context", quiet_context()[0]), **options)


def vectors(references: Path, name: str) -> list[Record]:
    text = (references / "vectors-generated" / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def gpt2_files(references: Path, folder: Path, names: tuple[str, str]) -> Path:
    folder.mkdir()
    for theirs, ours in zip(("encoder.json", "vocab.bpe"), names, strict=True):
        (folder / ours).write_bytes((references / "gpt2" / theirs).read_bytes())
    return folder


def gpt2_ranks(references: Path, path: Path) -> Path:
    """OpenAI's rank file of GPT-2, made of the same vocabulary: the bytes of each token with its id."""
    alphabet = {character: byte for byte, character in bytes_to_unicode().items()}
    ids = json.loads((references / "gpt2" / "encoder.json").read_bytes())
    lines = [
        base64.b64encode(bytes(alphabet[character] for character in token)) + b" %d\n" % number
        for token, number in sorted(ids.items(), key=lambda entry: entry[1])
        if token != "<|endoftext|>"
    ]
    path.write_bytes(b"".join(lines))
    return path


# --- the same ids ----------------------------------------------------------------------------------------------------


def test_openais_files_of_gpt2(references: Path, tmp_path: Path) -> None:
    tokenizer = taken(references / "gpt2", tmp_path / "t")
    for record in vectors(references, "gpt2"):
        assert tokenizer.encode(record["text"]) == record["ids"]
        assert tokenizer.decode(record["ids"]) == record["text"]
    assert tokenizer.fast_encoder is not None
    assert (tokenizer.bos_id, tokenizer.eos_id) == (50_256, 50_256)
    assert (tokenizer.pad_id, tokenizer.im_start_id, tokenizer.end_think_id) == (50_257, 50_258, 50_261)
    french = json.loads((references / "vectors-swift-transformers" / "gpt2_encoded_tokens.json").read_bytes())
    assert tokenizer.encode(french["text"]) == french["token_ids"]


@pytest.mark.long
def test_every_form_of_gpt2_is_one_tokenizer(references: Path, tmp_path: Path) -> None:
    pairs = gpt2_files(references, tmp_path / "pairs", ("vocab.json", "merges.txt"))
    texts = [*probe_texts(), *(record["text"] for record in vectors(references, "gpt2"))]
    named = taken(references / "gpt2" / "encoder.json", tmp_path / "named")
    assert taken(pairs / "merges.txt", tmp_path / "by_merges").identity == named.identity
    assert taken(pairs, tmp_path / "by_folder").identity == named.identity
    ranks = taken(gpt2_ranks(references, tmp_path / "r50k_base.tiktoken"), tmp_path / "ranks")
    assert ranks.fast_encoder is not None
    assert ranks.encode_reference(texts) == named.encode_reference(texts)


def test_a_tokenizer_json(references: Path, tmp_path: Path) -> None:
    path = references / "gpt-neox-20b" / "tokenizer.json"
    exact = imported(path, tmp_path / "exact", exact=True)
    assert (exact.path / "tokenizer.json").read_bytes() == path.read_bytes()
    tokenizer = taken(path, tmp_path / "t")
    assert [tokenizer.encode(record["text"]) for record in vectors(references, "gpt-neox-20b")] == [
        record["ids"] for record in vectors(references, "gpt-neox-20b")
    ]
    assert (tokenizer.eos_id, tokenizer.pad_id, tokenizer.im_start_id) == (0, 1, 50_277)


def test_llama_2(references: Path, tmp_path: Path) -> None:
    artifact = imported(references / "llama2" / "tokenizer.model", tmp_path / "t")
    tokenizer = Tokenizer.load(artifact.path)
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(references / "llama2" / "tokenizer.model"))
    for record in vectors(references, "llama2"):
        assert tokenizer.encode(record["text"]) == record["ids"]
        assert tokenizer.decode(record["ids"]) == theirs.decode(record["ids"])
    texts = probe_texts()
    assert tokenizer.encode_reference(texts) == [theirs.encode(text) for text in texts]
    assert [tokenizer.decode(tokenizer.encode(text)) for text in texts if "▁" not in text] == [
        text for text in texts if "▁" not in text
    ]
    assert tokenizer.fast_encoder is not None
    assert (tokenizer.unk_id, tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) == (0, 1, 2, 32_000)
    french = json.loads((references / "vectors-swift-transformers" / "llama_encoded.json").read_bytes())
    assert [tokenizer.bos_id, *tokenizer.encode(french["text"])] == french["token_ids"]
    assert (artifact.path / "tokenizer.model").read_bytes() == (references / "llama2" / "tokenizer.model").read_bytes()
    card = json.loads((artifact.path / "card.json").read_bytes())
    assert (card["own_vocabulary"], card["differs_from_sentencepiece"]) == (32_000, 0)


def test_codellama_keeps_its_ids(references: Path, tmp_path: Path) -> None:
    path = references / "codellama" / "tokenizer.reconstructed.model"
    exact = taken(path, tmp_path / "exact", exact=True)
    assert exact.vocabulary_size == 32_016
    assert (exact.unk_id, exact.bos_id, exact.eos_id) == (0, 1, 2)
    with pytest.raises(InputError, match="im_start"):
        _ = exact.im_start_id
    tokenizer = taken(path, tmp_path / "t")
    assert tokenizer.vocabulary_size == 32_021
    ids = (tokenizer.pad_id, tokenizer.im_start_id, tokenizer.im_end_id, tokenizer.think_id, tokenizer.end_think_id)
    assert ids == (32_016, 32_017, 32_018, 32_019, 32_020)
    for each in (exact, tokenizer):
        for case in json.loads((references / "codellama" / "vectors_from_transformers.json").read_bytes())["cases"]:
            assert [each.bos_id, *each.encode(case["text"])] == case["ids_with_bos"]
        for piece, token in json.loads((references / "codellama" / "extra_pieces.json").read_bytes()).items():
            assert each.token_bytes(token) == piece.replace("▁", " ").encode()


LINES = [f"{a} {b} {c}, the naïve river 東京 {a * 7}." for a in range(9) for b in ("of", "and") for c in "xyz"] * 9


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
@pytest.mark.parametrize("prefix", [True, False])
def test_models_of_sentencepiece(tmp_path: Path, kind: str, prefix: bool) -> None:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES), model_writer=model, model_type=kind, vocab_size=400, byte_fallback=True,
        hard_vocab_limit=False, normalization_rule_name="identity", remove_extra_whitespaces=False,
        add_dummy_prefix=prefix, minloglevel=2, control_symbols=["<turn>"],
    )  # fmt: skip
    (tmp_path / "m.model").write_bytes(model.getvalue())
    tokenizer = taken(tmp_path / "m.model", tmp_path / "t")
    theirs = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())

    @given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="▁"), max_size=40))
    def same(text: str) -> None:
        ids = theirs.encode(text)
        assert tokenizer.encode(text) == ids
        assert tokenizer.decode(ids) == text

    same()
    for text in (*LINES[:9], *probe_texts(["<turn>"])):
        assert tokenizer.encode(text) == theirs.encode(text)
        assert "▁" in text or tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_pieces_that_a_user_defined(tmp_path: Path, kind: str) -> None:
    """As Gemma has them: runs of spaces, line breaks and tags, no space before the text."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES), model_writer=model, model_type=kind, vocab_size=400, byte_fallback=True,
        hard_vocab_limit=False, normalization_rule_name="identity", remove_extra_whitespaces=False,
        add_dummy_prefix=False, minloglevel=2, user_defined_symbols=["▁▁", "▁▁▁", "\n\n", "<table>"],
    )  # fmt: skip
    (tmp_path / "m.model").write_bytes(model.getvalue())
    tokenizer = taken(tmp_path / "m.model", tmp_path / "t")
    theirs = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    for text in ("the  quick", "  two", "x\n\ny", "hello<table>world", "<table>", "a   b    c", " one"):
        assert tokenizer.encode(text) == theirs.encode(text), text
        assert tokenizer.decode(theirs.encode(text)) == theirs.decode(theirs.encode(text)) == text


# --- roles -----------------------------------------------------------------------------------------------------------


def a_tokenizer_json(path: Path, special: tuple[str, ...], plain: tuple[str, ...] = ()) -> dict[str, Any]:
    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(), vocab_size=300, show_progress=False
    )
    backend.train_from_iterator(["the river and the bridge"] * 9, trainer=trainer)
    backend.add_special_tokens(list(special))
    backend.add_tokens(list(plain))
    path.mkdir()
    backend.save(str(path / "tokenizer.json"))
    return dict(json.loads(backend.to_str()))


def test_what_the_files_call_bos_and_eos_is_used(tmp_path: Path) -> None:
    a_tokenizer_json(tmp_path / "in", ("<a>", "<z>", "</s>"))
    config = {"bos_token": "<a>", "eos_token": {"content": "<z>", "special": True}, "unk_token": None}
    (tmp_path / "in" / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = taken(tmp_path / "in", tmp_path / "t")
    assert tokenizer.roles["bos"] == "<a>"
    assert tokenizer.roles["eos"] == "<z>"
    alone = Tokenizer((tmp_path / "t" / "tokenizer.json").read_text(encoding="utf-8"))
    assert (alone.roles, alone.identity) == (tokenizer.roles, tokenizer.identity)
    library = PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "t" / "tokenizer.json"))
    assert library.encode("the river") == tokenizer.encode("the river")
    assert library.encode("the <a> <z>") == tokenizer.encode("the <a> <z>", allow_special=True)


def test_markers_among_ordinary_tokens_become_special(tmp_path: Path) -> None:
    definition = a_tokenizer_json(
        tmp_path / "in", ("<|endoftext|>", "<|im_start|>", "<|im_end|>"), ("<think>", "</think>")
    )
    tokenizer = taken(tmp_path / "in", tmp_path / "t")
    ids = {token["content"]: token["id"] for token in definition["added_tokens"]}
    assert (tokenizer.think_id, tokenizer.end_think_id) == (ids["<think>"], ids["</think>"])
    for each in (tokenizer, Tokenizer(json.dumps(definition))):
        assert ids["<think>"] not in each.encode("a <think> b")
        assert each.decode(each.encode("a <think> b")) == "a <think> b"
        assert ids["<think>"] in each.encode("a <think> b", allow_special=True)


def test_gaps_among_the_ids_are_kept(tmp_path: Path) -> None:
    model = a_tokenizer_json(tmp_path / "in", ())["model"]
    pairs = tmp_path / "pairs"
    pairs.mkdir()
    (pairs / "vocab.json").write_text(json.dumps(model["vocab"]))
    (pairs / "merges.txt").write_text("".join(f"{left} {right}\n" for left, right in model["merges"]))
    (pairs / "added_tokens.json").write_text(json.dumps({"<|far|>": 500}))
    tokenizer = taken(pairs, tmp_path / "t")
    assert tokenizer.special_names[500] == "<|far|>"
    assert (tokenizer.eos_id, tokenizer.pad_id) == (501, 502)
    text = "the river <|far|> 東京"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.encode("x<|far|>", allow_special=True)[-1] == 500
    assert tokenizer.token_bytes(400) == b""


# --- from the hub ----------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInHub]:
    with stand_in_hub() as served:
        for name, value in environment(served.endpoint, tmp_path).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH"):
            monkeypatch.delenv(name, raising=False)
        yield served


def test_a_name_on_the_hub(hub: StandInHub, tmp_path: Path) -> None:
    a_tokenizer_json(tmp_path / "in", ("<s>", "</s>"))
    content = (tmp_path / "in" / "tokenizer.json").read_bytes()
    config = b'{"bos_token": "</s>", "eos_token": "<s>"}'
    files = {"tokenizer.json": content, "tokenizer_config.json": config, "weights.safetensors": b"x" * 9_000}
    hub.repositories["a/b"] = Repository(files)
    first = imported(None, tmp_path / "t", config={"hub": "a/b"})
    assert Tokenizer.load(first.path).roles["bos"] == "</s>"
    imported(None, tmp_path / "again", config={"hub": "a/b"})
    assert hub.sent["tokenizer.json"] == len(content)
    assert hub.sent["weights.safetensors"] == 0
    (tmp_path / "in" / "tokenizer_config.json").write_bytes(config)
    local = imported(tmp_path / "in", tmp_path / "local")
    assert local.manifest.statistics["identity"] == first.manifest.statistics["identity"]


@pytest.mark.long
def test_codellama_by_its_short_name(hub: StandInHub, references: Path, tmp_path: Path) -> None:
    model = (references / "codellama" / "tokenizer.reconstructed.model").read_bytes()
    hub.repositories["codellama/CodeLlama-7b-hf"] = Repository({"tokenizer.model": model})
    tokenizer = taken(None, tmp_path / "t", config={"hub": "codellama"}, exact=True)
    assert tokenizer.vocabulary_size == 32_016
    assert (tokenizer.unk_id, tokenizer.bos_id, tokenizer.eos_id) == (0, 1, 2)


def test_without_a_network_what_was_fetched_is_used(
    hub: StandInHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_tokenizer_json(tmp_path / "in", ("<s>", "</s>"))
    hub.repositories["a/b"] = Repository({"tokenizer.json": (tmp_path / "in" / "tokenizer.json").read_bytes()})
    first = imported(None, tmp_path / "t", config={"hub": "a/b"})
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("lumilab.corpus.hub.persistence.FIRST_TRIES", 1)
    context, said = quiet_context()
    again = imported(None, tmp_path / "again", config={"hub": "a/b"}, context=context)
    assert again.digest == first.digest
    assert "cannot be reached" in said.getvalue()


@pytest.mark.parametrize(
    ("name", "kind", "word"),
    [("a/none", InputError, "a/none"), ("nonsense", ConfigError, "codellama"), ("a/empty", InputError, "tokenizer")],
)
def test_a_name_that_is_no_tokenizer(
    hub: StandInHub, tmp_path: Path, name: str, kind: type[LumiError], word: str
) -> None:
    hub.repositories["a/empty"] = Repository({"config.json": b"{}"})
    with pytest.raises(kind, match=word):
        imported(None, tmp_path / "t", config={"hub": name})
    assert not (tmp_path / "t").exists()


def test_a_preset_that_is_another_by_now_is_refused(hub: StandInHub, tmp_path: Path) -> None:
    a_tokenizer_json(tmp_path / "in", ("<s>", "</s>"))
    content = (tmp_path / "in" / "tokenizer.json").read_bytes()
    hub.repositories["codellama/CodeLlama-7b-hf"] = Repository({"tokenizer.json": content})
    with pytest.raises(MismatchError, match=r"32,016"):
        imported(None, tmp_path / "t", config={"hub": "codellama"})


# --- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer.json", b"{}"),
        ("tokenizer.json", b"no json"),
        ("tokenizer.json", b'{"model": {"type": "BPE", "vocab": {}, "merges": [["a", "b"]]}}'),
        ("x.model", b""),
        ("x.model", b"\x0a\x03abc"),
        ("x.model", os.urandom(1_000)),
        ("x.tiktoken", b"IQ== 0\nIg== 1\n"),
        ("x.tiktoken", b"!!! x\n"),
        ("vocab.json", b"{}"),
        ("merges.txt", b"a b\n"),
        ("readme.txt", b"hello"),
    ],
)
def test_what_is_no_tokenizer_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(content)
    for path in (tmp_path / "in" / name, tmp_path / "in"):
        with pytest.raises(InputError) as error:
            imported(path, tmp_path / "t")
        assert str(tmp_path) in str(error.value)
    assert not (tmp_path / "t").exists()


def test_merges_of_another_vocabulary_are_refused(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text(json.dumps({"a": 0, "b": 1, "ab": 2}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\na q\n", encoding="utf-8")
    with pytest.raises(InputError, match="a q"):
        imported(tmp_path, tmp_path / "t")


@pytest.mark.long
@pytest.mark.parametrize("name", ["llama2/tokenizer.model", "codellama/tokenizer.reconstructed.model"])
def test_all_of_wikipedia_as_sentencepiece_has_it(
    references: Path, tmp_path: Path, wikipedia: list[Path], articles: Callable[[Path], list[str]], name: str
) -> None:
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(references / name))
    encoder = taken(references / name, tmp_path / "t").fast_encoder
    assert encoder is not None
    for texts in map(articles, wikipedia):
        assert [encoder.encode(text).tolist() for text in texts] == theirs.encode(texts, num_threads=1)
