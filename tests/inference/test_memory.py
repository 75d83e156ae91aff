"""Reading into a memory: the kernels against the model itself, and a text's logits against what else is being read."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_model import ALL_SHAPES, QWEN3, VOCABULARY, made
from torch import Tensor

from lumilab.inference import kernels
from lumilab.inference.memory import KernelMemory, Memory, ModelMemory, Reading, remember
from lumilab.inference.quantise import quantise
from lumilab.model import Transformer
from lumilab.posttraining.adapters import add_adapter
from lumilab.recipe.adapter import AdapterConfig

KINDS = ("none", "bf16", "int8", "int4")
needs_kernels = pytest.mark.skipif(kernels.library() is None, reason="there is no C compiler here")


def text(length: int, seed: int = 0) -> list[int]:
    return random.Random(seed).choices(range(VOCABULARY), k=length)


def pieces(ids: list[int], cuts: random.Random) -> list[list[int]]:
    """The text cut into pieces of 1 to 9 tokens."""
    parts = []
    while ids:
        count = cuts.randint(1, 9)
        parts.append(ids[:count])
        ids = ids[count:]
    return parts


def read_all(memory: Memory, slot: int, ids: list[int]) -> Tensor:
    return memory.read([Reading(slot, ids, every=True)])[0]


def test_a_model_with_an_adapter_is_read_by_itself() -> None:
    """While an adapter is trained, samples are drawn from wrapped layers, which the kernels do not know."""
    pytest.importorskip("peft")
    model = made(QWEN3)
    add_adapter(model, AdapterConfig(rank=2), seed=0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
        ids = text(20)
        expected = model(torch.tensor([ids]))[0]
    assert not kernels.usable(model)
    torch.testing.assert_close(read_all(remember(model, 1, 30), 0, ids), expected, rtol=1e-4, atol=1e-4)


@needs_kernels
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ALL_SHAPES)
def test_the_kernels_compute_the_model(name: str, kind: str) -> None:
    model = quantise(made(ALL_SHAPES[name]), kind)  # type: ignore[arg-type]
    assert kernels.usable(model)
    ids = text(60)
    with torch.no_grad():
        expected = model(torch.tensor([ids]))[0]
    memory = KernelMemory(model, 2, 80)
    torch.testing.assert_close(read_all(memory, 1, ids), expected, atol=2e-5, rtol=2e-4)
    assert memory.ids == [[], ids]


@needs_kernels
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=8)
@given(seed=st.integers(0, 10_000), name=st.sampled_from(["qwen3", "llama", "gpt2", "qwen3-multi-query"]))
def test_logits_are_the_same_bit_for_bit_whatever_else_is_read(kind: str, seed: int, name: str) -> None:
    model = quantise(made(ALL_SHAPES[name]), kind)  # type: ignore[arg-type]
    choose = random.Random(seed)
    texts = [text(choose.randint(1, 40), seed + number) for number in range(4)]
    alone = [read_all(KernelMemory(model, 1, 40), 0, ids) for ids in texts]
    memory = KernelMemory(model, len(texts), 40)
    waiting = [pieces(ids, choose) for ids in texts]
    got: list[list[Tensor]] = [[] for _ in texts]
    while any(waiting):
        chosen = [slot for slot, left in enumerate(waiting) if left and choose.random() < 0.7]
        readings = [Reading(slot, waiting[slot].pop(0), every=True) for slot in chosen]
        for reading, logits in zip(readings, memory.read(readings) if readings else [], strict=True):
            got[reading.slot].append(logits)
    for parts, expected in zip(got, alone, strict=True):
        assert torch.equal(torch.cat(parts), expected)


@needs_kernels
def test_the_number_of_threads_changes_no_bit() -> None:
    model = made(ALL_SHAPES["qwen3"])
    before, ids = torch.get_num_threads(), text(40)
    try:
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(read_all(KernelMemory(model, 1, 40), 0, ids))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


@pytest.mark.parametrize("name", ["qwen3", "gpt2", "of-no-family-rotary"])
def test_without_kernels_the_model_reads(name: str) -> None:
    model = made(ALL_SHAPES[name])
    texts = [text(30, 1), text(17, 2), text(24, 3)]
    with torch.no_grad():
        expected = [model(torch.tensor([ids]))[0] for ids in texts]
    memory = ModelMemory(model, 3, 30)
    first = memory.read([Reading(slot, ids[:10], every=True) for slot, ids in enumerate(texts)])
    for logits, whole in zip(first, expected, strict=True):
        torch.testing.assert_close(logits, whole[:10], atol=2e-5, rtol=2e-4)
    for place in range(10, 30):
        there = [Reading(slot, [ids[place]]) for slot, ids in enumerate(texts) if place < len(ids)]
        for reading, logits in zip(there, memory.read(there), strict=True):
            torch.testing.assert_close(logits[0], expected[reading.slot][place], atol=2e-5, rtol=2e-4)
    assert memory.ids[0] == texts[0] and memory.ids[2] == texts[2]


def memories(model: Transformer) -> list[Memory]:
    own = [ModelMemory(model, 3, 50)]
    return own if kernels.library() is None else [*own, remember(model, 3, 50)]


def test_a_slot_can_be_copied_and_rewound() -> None:
    model = made(ALL_SHAPES["qwen3"])
    ids, other = text(30), text(30, 5)
    for memory in memories(model):
        whole = read_all(memory, 0, ids)
        memory.copy(0, 2, 12)
        assert memory.ids[2] == ids[:12]
        torch.testing.assert_close(read_all(memory, 2, ids[12:]), whole[12:], atol=1e-5, rtol=1e-4)
        changed = [*ids[:7], *other[7:]]
        assert memory.common(0, changed) == 7 and memory.common(0, ids[:5]) == 4 and memory.common(1, ids) == 0
        left = memory.rewind(0, changed)
        assert left == changed[7:]
        torch.testing.assert_close(read_all(memory, 0, left), read_all(memory, 1, changed)[7:], atol=1e-5, rtol=1e-4)


def test_a_slot_holds_no_more_than_its_room() -> None:
    for memory in memories(made(ALL_SHAPES["qwen3"])):
        memory.read([Reading(0, text(50))])
        with pytest.raises(ValueError, match="no room"):
            memory.read([Reading(0, [1])])


def test_a_model_in_half_precision_is_read_by_itself() -> None:
    model = made(ALL_SHAPES["qwen3"])
    model.activation_dtype = torch.bfloat16
    assert isinstance(remember(model, 1, 10), ModelMemory)
