"""GGUF files: read again by gguf's own reader and by transformers, tokenizer included."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from tiny_chat import publish_model, tiny_model
from tiny_model import ALL_SHAPES, GPT2, LLAMA, QWEN3
from transformers import AutoModelForCausalLM, AutoTokenizer

from lumilab.artifact import Artifact
from lumilab.errors import ConfigError, MismatchError
from lumilab.interop import export_gguf as exporting
from lumilab.interop.export_gguf import export_gguf
from lumilab.interop.gguf_file import read_gguf
from lumilab.interop.gguf_tokenizer import gguf_vocabulary
from lumilab.interop.publish import assembled
from lumilab.recipe.model import ModelConfig
from lumilab.recipe.tokenizer import TokenizerConfig
from lumilab.tokenizer.files import find_tokenizer
from lumilab.tokenizer.load import Tokenizer
from lumilab.training.checkpoint import load_model

WIDE = {"width": 64, "feed_forward": 96}
READABLE = {
    "qwen3": QWEN3.model_copy(update=WIDE | {"head_dim": 128}),
    "llama": LLAMA.model_copy(update=WIDE | {"head_dim": 16, "tie_embeddings": False}),
    "gpt2": GPT2.model_copy(update=WIDE | {"head_dim": 16, "feed_forward": 256, "context": 1_024}),
}
OTHERS = {
    "qwen3-small-heads": QWEN3,
    "llama-linear": ALL_SHAPES["llama-linear"],
    "gpt2-odd": GPT2,
}


def published(folder: Path, tokenizer: Artifact, config: ModelConfig) -> Artifact:
    known = Tokenizer.load(tokenizer.path)
    return publish_model(folder / "checkpoint", tokenizer, tiny_model(known, config=config), config)


@pytest.mark.parametrize("name", READABLE)
@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0"])
def test_both_readers_give_our_logits(name: str, kind: Any, tokenizer_artifact: Artifact, tmp_path: Path) -> None:
    checkpoint = published(tmp_path, tokenizer_artifact, READABLE[name])
    done = export_gguf(checkpoint, tmp_path / "model.gguf", kind)
    assert [proof.reader for proof in done.proofs] == ["gguf's reader", "transformers"]
    assert all(proof.difference <= 1e-5 for proof in done.proofs)
    assert bool(done.notes) == (kind != "F32")


@pytest.mark.parametrize("name", [*READABLE, *OTHERS])
def test_float32_comes_back_bit_by_bit(name: str, tokenizer_artifact: Artifact, tmp_path: Path) -> None:
    config = (READABLE | OTHERS)[name]
    checkpoint = published(tmp_path, tokenizer_artifact, config)
    done = export_gguf(checkpoint, tmp_path / "model.gguf", "F32")
    assert len(done.proofs) == (2 if name in READABLE else 1)
    found = read_gguf(tmp_path / "model.gguf")
    assert found.config == config
    for key, tensor in load_model(checkpoint).model.state_dict().items():
        assert torch.equal(found.tensors[key], tensor), key
    if name in READABLE:
        theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="model.gguf", dtype=torch.float32).eval()
        ids = torch.arange(60).view(2, 30)
        with torch.no_grad():
            torch.testing.assert_close(assembled(found)(ids), theirs(ids).logits, atol=1e-5, rtol=0)


def test_llamas_rows_are_in_the_order_of_meta(tokenizer_artifact: Artifact, tmp_path: Path) -> None:
    """Meta's rotation pairs neighbours: row 2i of a head there is row i here, and row 2i + 1 is row i + half."""
    checkpoint = published(tmp_path, tokenizer_artifact, READABLE["llama"])
    export_gguf(checkpoint, tmp_path / "model.gguf", "F32")
    reader = gguf.GGUFReader(tmp_path / "model.gguf")
    stored = next(tensor.data for tensor in reader.tensors if tensor.name == "blk.1.attn_q.weight")
    ours = load_model(checkpoint).model.state_dict()["model.layers.1.self_attn.q_proj.weight"].numpy()
    for head in range(4):
        for pair in range(8):
            start = 16 * head
            np.testing.assert_array_equal(stored[start + 2 * pair], ours[start + pair])
            np.testing.assert_array_equal(stored[start + 2 * pair + 1], ours[start + pair + 8])


def test_the_tokenizer_is_in_the_file(tokenizer: Tokenizer, tokenizer_artifact: Artifact, tmp_path: Path) -> None:
    export_gguf(published(tmp_path, tokenizer_artifact, READABLE["qwen3"]), tmp_path / "model.gguf", "F16")
    fields = gguf.GGUFReader(tmp_path / "model.gguf").fields
    assert fields["tokenizer.ggml.pre"].contents() == "qwen2"
    assert fields["tokenizer.ggml.eos_token_id"].contents() == tokenizer.eos_id
    assert fields["tokenizer.ggml.add_bos_token"].contents() is True
    theirs = AutoTokenizer.from_pretrained(tmp_path, gguf_file="model.gguf")
    for text in ("The cat watches seven letters 2026 times.", "naïve  spaces\n\nand 猫 😀"):
        assert theirs(text, add_special_tokens=False)["input_ids"] == tokenizer.encode(text)


@pytest.mark.long
def test_real_vocabularies(shared_data: Path) -> None:
    """GPT-2's way of cutting words is known; Llama 2's SentencePiece pieces keep the order of their scores."""
    found = find_tokenizer(shared_data / "tokenizers" / "gpt2")
    vocabulary = gguf_vocabulary(found.definition, 50_304)
    assert (vocabulary.model, vocabulary.way, len(vocabulary.merges)) == ("gpt2", "gpt-2", 50_000)
    assert vocabulary.tokens[50_300] == "[PAD50300]" and vocabulary.types[50_300] == 5
    found = find_tokenizer(shared_data / "tokenizers" / "llama2" / "tokenizer.model")
    vocabulary = gguf_vocabulary(found.definition, 32_000)
    assert vocabulary.model == "llama" and vocabulary.types[:3] == [2, 3, 3] and vocabulary.types[3] == 6
    import sentencepiece

    theirs = sentencepiece.SentencePieceProcessor(model_file=str(found.files[0]))
    assert vocabulary.tokens == [theirs.id_to_piece(number) for number in range(32_000)]
    lowest = min(vocabulary.scores)
    merged = [number for number, score in enumerate(vocabulary.scores) if score > lowest]
    by_theirs = sorted(merged, key=theirs.get_score, reverse=True)
    assert sorted(merged, key=vocabulary.scores.__getitem__, reverse=True) == by_theirs


@pytest.mark.parametrize(
    ("config", "kind", "named"),
    [
        (ALL_SHAPES["llama-biased"], "F32", "activation=geglu, attention_bias=True, feed_forward_bias=True"),
        (ALL_SHAPES["qwen3-yarn"], "F32", "rope_scaling.method=yarn"),
        (ALL_SHAPES["gpt2-exact-untied"], "F32", "activation=gelu"),
        (ALL_SHAPES["of-no-family"], "F32", "norm=layernorm"),
        (QWEN3, "Q8_0", "width=48"),
    ],
)
def test_what_readers_do_not_have_is_refused(
    config: ModelConfig, kind: Any, named: str, tokenizer_artifact: Artifact, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as error:
        export_gguf(published(tmp_path, tokenizer_artifact, config), tmp_path / "model.gguf", kind)
    assert named in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_other_tokenizers_are_refused() -> None:
    model = {"type": "BPE", "vocab": {"a": 0}, "merges": []}
    cut = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
    assert gguf_vocabulary({"model": model, "pre_tokenizer": cut}, 1).way == "gpt-2"
    for change, why in (
        ({"model": model | {"type": "Unigram"}}, "its model is Unigram"),
        ({"model": model | {"ignore_merges": True}, "pre_tokenizer": cut}, "ignore_merges"),
        ({"model": model, "pre_tokenizer": {"type": "Whitespace"}}, "cuts text into words"),
        ({"model": model, "pre_tokenizer": cut, "normalizer": {"type": "Lowercase"}}, "Lowercase"),
        ({"model": model | {"byte_fallback": True}, "pre_tokenizer": cut}, "Llama's SentencePiece"),
    ):
        with pytest.raises(ConfigError, match=why):
            gguf_vocabulary(change, 1)
    assert TokenizerConfig().algorithm == "bpe", "the advice names the default"


def test_other_logits_and_missing_libraries_leave_nothing_behind(
    tokenizer_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = published(tmp_path, tokenizer_artifact, READABLE["qwen3"])
    with pytest.raises(ConfigError, match=r"ends in \.gguf"):
        export_gguf(checkpoint, tmp_path / "model", "F32")
    write = exporting.write_gguf

    def wrong(path: Path, tensors: dict[str, torch.Tensor], *rest: Any) -> None:
        write(path, {name: tensor.flip(0) if "q_proj" in name else tensor for name, tensor in tensors.items()}, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(exporting, "write_gguf", wrong)
        with pytest.raises(MismatchError, match="gives other logits"):
            export_gguf(checkpoint, tmp_path / "model.gguf", "F32")
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(ConfigError, match=r"lumilab\[gguf\]"):
        export_gguf(checkpoint, tmp_path / "model.gguf", "F32")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]
