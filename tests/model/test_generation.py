"""Several prompts at once give what each gives alone, and what transformers gives."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_model import ALL_SHAPES, QWEN3, VOCABULARY, made
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from lumilab.errors import ConfigError, InputError
from lumilab.model import LanguageModel, hf_config
from lumilab.model.generation import generate
from lumilab.recipe.schema import SamplingConfig

PROMPTS = [[5], [9, 20, 31, 2, 77, 8, 40], [1, 2, 3]]
GREEDY = SamplingConfig(temperature=0.0, max_tokens=12)


def sharp(name: str) -> LanguageModel:
    """With weights so large that no two next tokens are near each other."""
    model = made(ALL_SHAPES[name]).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data.mul_(8)
    return LanguageModel(model)


@pytest.mark.parametrize("name", ["qwen3", "llama-llama3", "gpt2", "of-no-family", "of-no-family-rotary"])
@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_each_row_is_as_if_alone(name: str, temperature: float) -> None:
    model = sharp(name).transformer
    sampling = SamplingConfig(temperature=temperature, max_tokens=12, repetition_penalty=1.2, top_k=0, min_p=0.02)
    together = generate(model, PROMPTS, sampling)
    for number, prompt in enumerate(PROMPTS):
        alone = generate(model, [prompt], sampling.model_copy(update={"seed": number}))
        assert together[number] == alone[0]
        assert len(alone[0]) == 12


def test_greedy_is_transformers_greedy() -> None:
    ours = sharp("qwen3")
    values = hf_config(QWEN3, VOCABULARY, bos_id=1, eos_id=2, pad_id=0)
    theirs: Any = AutoModelForCausalLM.from_config(CONFIG_MAPPING["qwen3"](**values))
    theirs.load_state_dict(ours.transformer.state_dict(), strict=False)
    theirs.tie_weights()
    width = max(map(len, PROMPTS))
    ids = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in PROMPTS])  # padded before, as they want it
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in PROMPTS])
    expected = theirs.eval().generate(
        ids, attention_mask=mask, do_sample=False, max_new_tokens=12, eos_token_id=None, pad_token_id=0
    )
    mine = ours.generate(ids, mask, temperature=0.0, max_tokens=12)
    for row, (prompt, theirs_row) in enumerate(zip(PROMPTS, expected, strict=True)):
        assert mine[row, : len(prompt) + 12].tolist() == theirs_row[width - len(prompt) :].tolist()
        assert not mine[row, len(prompt) + 12 :].any()


def test_texts_end_where_they_should() -> None:
    model = sharp("qwen3").transformer
    sampling = GREEDY.model_copy(update={"repetition_penalty": 3.0})  # no token comes twice
    whole = generate(model, PROMPTS, sampling)
    ends = generate(model, PROMPTS, sampling, eos_ids=[whole[1][4]])
    assert ends[1] == whole[1][: whole[1].index(whole[1][4])]
    stopped = generate(model, PROMPTS, sampling, stop=[whole[0][2:4]])
    assert stopped[0] == whole[0][:2] and stopped[2][:2] == whole[2][:2]
    long = generate(model, [[7] * 295, [3]], GREEDY)
    assert [len(row) for row in long] == [5, 12], "a row ends with the context, the others go on"


def test_what_cannot_be_generated_says_why() -> None:
    model = sharp("qwen3")
    for prompts in ([], [[]], [[1] * 300]):
        with pytest.raises(InputError, match="from 1 to 299 tokens"):
            generate(model.transformer, prompts, GREEDY)
    with pytest.raises(ConfigError, match=r"no way to draw tokens.*temperature"):
        model.generate([[1]], temperature=-1)
    with pytest.raises(ConfigError, match="heat"):
        model.generate([[1]], heat=2)
