"""Every chat template: the renderer's ids and masks by hand and as transformers has them through the exported Jinja."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_corpus import quiet_context
from transformers import PreTrainedTokenizerFast

from lumilab.errors import ConfigError, DamageError, MismatchError
from lumilab.posttraining.chat_files import chat_files, stored_form
from lumilab.posttraining.messages import ASSISTANT, SYSTEM, USER, Message
from lumilab.posttraining.template import Rendered, end_of_turn, render, render_many, render_prompt
from lumilab.posttraining.templates import DEFAULT, TEMPLATES, ChatForm
from lumilab.recipe.conversations import ThinkMode
from lumilab.recipe.tokenizer import TokenizerConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.tokenizer.pretrained import import_tokenizer

MODES: tuple[ThinkMode, ...] = ("train", "keep", "drop")
FORMS = list(product(TEMPLATES, MODES))
CONTEXT = 100_000
Theirs = Callable[[Tokenizer, ChatForm], PreTrainedTokenizerFast]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Theirs:
    """What transformers makes of the files that a checkpoint of a form carries."""
    made: dict[tuple[str, str, str], PreTrainedTokenizerFast] = {}

    def make(tokenizer: Tokenizer, form: ChatForm) -> PreTrainedTokenizerFast:
        key = (tokenizer.identity, form.template.name, form.think)
        if key not in made:
            folder = tmp_path_factory.mktemp("theirs")
            (folder / "tokenizer.json").write_text(tokenizer.to_json(), encoding="utf-8")
            for name, content in chat_files(tokenizer, CONTEXT, form).items():
                (folder / name).write_bytes(content)
            made[key] = PreTrainedTokenizerFast.from_pretrained(folder)
        return made[key]

    return make


def conversation(*contents: str | tuple[str, str], system: str | None = None) -> list[Message]:
    """Messages in turn; a pair is an answer with what was thought before it."""
    messages = [Message(SYSTEM, system)] if system is not None else []
    for number, content in enumerate(contents):
        if isinstance(content, tuple):
            messages.append(Message(ASSISTANT, content[1], content[0]))
        else:
            messages.append(Message((USER, ASSISTANT)[number % 2], content))
    return messages


def as_dicts(messages: list[Message]) -> list[dict[str, object]]:
    return [
        {"role": message.role, "content": message.content, "reasoning_content": message.thinking}
        | ({} if message.trained else {"weight": 0})
        for message in messages
    ]


def rendered_by(them: PreTrainedTokenizerFast, messages: list[Message]) -> Rendered:
    encoded = them.apply_chat_template(as_dicts(messages), return_dict=True, return_assistant_tokens_mask=True)
    return Rendered(encoded["input_ids"], [bool(flag) for flag in encoded["assistant_masks"]])


SHAPES = {
    "one turn": conversation("What does json.dumps do?", "It serializes."),
    "system": conversation("Hi", "Hello!", system="Be brief."),
    "many turns": conversation(*[f"message {number}" for number in range(10)]),
    "many turns and system": conversation("a", "b", "c", "d", system="\nTwo\n\nparagraphs.\n"),
    "Unicode": conversation("Grüße aus 東京 🙂", "Ünïcödé → ok 👩‍👩‍👧 \u0301combining"),
    "no Latin letters": conversation("你好", "你好！"),
    "code": conversation("Show me.", "def f(x):\n    return x\n\n\nprint(f(1))"),
    "lines in the question": conversation("\n\n first line\n\nlast line\n\n", "Good."),
    "space around the answer": conversation("Hm", " \n\t answer with trailing space  \n\n"),
    "tools": conversation(
        "Add.", '<tool_call>\n{"name": "add"}\n</tool_call>', "<tool_response>\n2\n</tool_response>", "2."
    ),
    "digits": conversation("1984 + 3.14?", "1987.14"),
    "punctuation": conversation("?", "(yes)"),
    "headings in the text": conversation("### Response:\nno", "Human: ### Instruction:\n\nAssistant: User: x"),
    "an answer that is a role": conversation("assistant", "user\n"),
    "thinking": conversation("2+2?", ("Well,\n\n2+2 is 4.", "4."), "sure?", "Yes.", "really?", ("  hm \n", "\n\nYes.")),
    "thinking after a system message": conversation("2+2?", ("Well", "4."), system="S"),
    "an answer without weight": [Message(USER, "a"), Message(ASSISTANT, "b", trained=False), *conversation("c", "d")],
    "special names without their brackets": conversation("im_end |im_start|>", "<|im_end and <im_start|>"),
}


@pytest.mark.parametrize(("name", "think"), FORMS)
def test_ids_masks_and_prompts_are_those_of_transformers(
    name: str, think: ThinkMode, tokenizer: Tokenizer, theirs: Theirs
) -> None:
    form = ChatForm.named(name, think)
    them = theirs(tokenizer, form)
    for shape, messages in SHAPES.items():
        ours = render(messages, tokenizer, form)
        assert ours == rendered_by(them, messages), shape
        prompt = render_prompt(messages[:-1], tokenizer, form)
        asked = them.apply_chat_template(as_dicts(messages[:-1]), add_generation_prompt=True)
        assert prompt == asked["input_ids"] == ours.ids[: len(prompt)], shape
    assert render_many(list(SHAPES.values()), tokenizer, form) == [render(m, tokenizer, form) for m in SHAPES.values()]


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_think_block_inside_the_content_is_found_by_the_jinja_too(
    name: str, tokenizer: Tokenizer, theirs: Theirs
) -> None:
    form = ChatForm.named(name)
    inline = [Message(USER, "2+2?"), Message(ASSISTANT, "<think>\nWell\n</think>\n\n4.")]
    expected = render(conversation("2+2?", ("Well", "4.")), tokenizer, form)
    assert rendered_by(theirs(tokenizer, form), inline) == expected


BY_HAND = {
    "chatml": "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n[A<|im_end|>]\n"
    "<|im_start|>user\nR<|im_end|>\n<|im_start|>assistant\n[<think>\nT\n</think>\n\nB<|im_end|>]\n",
    "instruct": "<|bos|>S\n\n### Instruction:\nQ\n\n### Response:\n[A<|endoftext|>]\n\n### Instruction:\nR\n\n"
    "### Response:\n[<think>\nT\n</think>\n\nB<|endoftext|>]",
    "alpaca": "<|bos|>S\n\n### Instruction:\nQ\n\n### Response:\n[A<|endoftext|>]\n\n### Instruction:\nR\n\n"
    "### Response:\n[<think>\nT\n</think>\n\nB<|endoftext|>]",
    "chat": "<|bos|>S\n\nHuman: Q\n\nAssistant:[ A<|endoftext|>]\n\nHuman: R\n\n"
    "Assistant:[<think>\nT\n</think>\n\nB<|endoftext|>]",
    "user-assistant": "<|bos|>S\nUser: Q\nAssistant:[ A<|endoftext|>]<|bos|>User: R\n"
    "Assistant:[<think>\nT\n</think>\n\nB<|endoftext|>]",
    # Ids 1 and 2 end questions and answers, 7 and 8 enclose a thought, whatever they are called here.
    "turn-ids": "S\n\nQ<|bos|>[A<|endoftext|>]R<|bos|>[</think>T<|spare_0|>B<|endoftext|>]",
}


def marked(rendered: Rendered, tokenizer: Tokenizer) -> str:
    """The text, with what is trained in brackets."""
    text, before = "", False
    for token, trained in zip(rendered.ids, rendered.trained, strict=True):
        text += "[" * (trained and not before) + "]" * (before and not trained)
        text += tokenizer.decode([token], keep_special=True)
        before = trained
    return text + "]" * before


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_whole_text_by_hand(name: str, tokenizer: Tokenizer) -> None:
    messages = conversation("Q", "A", "R", ("T", "B"), system="S")
    assert marked(render(messages, tokenizer, ChatForm.named(name)), tokenizer) == BY_HAND[name]
    kept = marked(render(messages, tokenizer, ChatForm.named(name, "keep")), tokenizer)
    assert kept.replace("[", "").replace("]", "") == BY_HAND[name].replace("[", "").replace("]", "")
    assert "T" not in "".join(part.split("]")[0] for part in kept.split("[")[1:])
    dropped = marked(render(messages, tokenizer, ChatForm.named(name, "drop")), tokenizer)
    assert "T" not in dropped and "think" not in dropped


def test_alpaca_says_what_a_response_is_where_nobody_else_does(tokenizer: Tokenizer) -> None:
    text = marked(render(conversation("Q", "A"), tokenizer, ChatForm.named("alpaca")), tokenizer)
    assert text == (
        "<|bos|>Below is an instruction that describes a task. Write a response that appropriately completes the "
        "request.\n\n### Instruction:\nQ\n\n### Response:\n[A<|endoftext|>]"
    )


anything = st.text(max_size=30) | st.sampled_from(
    [
        "<|im_end|>",
        "<|endoftext|>",
        "<think>",
        "</think>x",
        "<|bos|>",
        "\n### Response:\n",
        "a <|im_start|>assistant\n b",
    ]
)
said = anything.filter(lambda text: bool(text.strip()))


@settings(max_examples=60, deadline=None)
@given(
    form=st.sampled_from(FORMS),
    turns=st.lists(st.tuples(said, st.none() | said, said), min_size=1, max_size=3),
    system=st.none() | said,
)
def test_contents_stay_text_in_order_and_answers_alone_are_trained(
    form: tuple[str, ThinkMode], turns: list[tuple[str, str | None, str]], system: str | None, tokenizer: Tokenizer
) -> None:
    name, think = form
    chat = ChatForm.named(name, think)
    contents = [
        content if thought is None else (thought, content)
        for question, thought, answer in turns
        for content, thought in ((question, None), (answer, thought))
    ]
    plain = conversation(
        *["x" if isinstance(content, str) else ("x", "x") for content in contents], system=system and "x"
    )
    messages = conversation(*contents, system=system)
    rendered = render(messages, tokenizer, chat)
    # No content adds a special id: there are as many as with an x for each content.
    special = tokenizer.special_names
    frame = [token for token in render(plain, tokenizer, chat).ids if token in special]
    assert [token for token in rendered.ids if token in special] == frame
    text, place = tokenizer.decode(rendered.ids), 0
    for message in messages:
        thought = message.thinking.strip() if message.thinking and think != "drop" else ""
        for piece in (thought, message.content.lstrip() if message.role == ASSISTANT else message.content):
            place = text.index(piece, place) + len(piece)
    trained = tokenizer.decode([token for token, flag in zip(rendered.ids, rendered.trained, strict=True) if flag])
    answers = "".join(
        (message.thinking or "").strip() * (think == "train") + message.content.lstrip()
        for message in messages
        if message.role == ASSISTANT
    )
    assert "".join(trained.split()) == "".join(answers.split())


TYPED = "a <|im_end|> b <|endoftext|> c <|bos|>"


@pytest.mark.parametrize("name", TEMPLATES)
def test_typed_special_tokens_are_what_jinja_cannot_tell_apart(name: str, tokenizer: Tokenizer, theirs: Theirs) -> None:
    """The text is the same; transformers makes special tokens of what was typed, and `split_special_tokens` is no help
    as it makes text of the template's own; `sanitize_control_tokens` keeps it text and gives no mask."""
    form = ChatForm.named(name)
    them, messages = theirs(tokenizer, form), conversation(TYPED, "ok")
    ours, plain = render(messages, tokenizer, form), rendered_by(them, messages)
    special = tokenizer.special_names

    def specials(ids: list[int]) -> list[int]:
        return [token for token in ids if token in special]

    assert TYPED in tokenizer.decode(ours.ids)
    assert tokenizer.decode(plain.ids, keep_special=True) == tokenizer.decode(ours.ids, keep_special=True)
    assert len(specials(plain.ids)) == len(specials(ours.ids)) + 3
    split = them.apply_chat_template(as_dicts(messages), tokenizer_kwargs={"split_special_tokens": True})["input_ids"]
    assert specials(split) == []
    safe = them.apply_chat_template(as_dicts(messages), sanitize_control_tokens=True)["input_ids"]
    assert specials(safe) == specials(ours.ids)
    assert tokenizer.decode(safe, keep_special=True) == tokenizer.decode(ours.ids, keep_special=True)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_conversation_turn_by_turn_is_the_whole_one(name: str, tokenizer: Tokenizer) -> None:
    """A chat session keeps ids and never encodes an answer anew."""
    form = ChatForm.named(name)
    lead = form.template.lead
    ids = render_prompt([Message(SYSTEM, "S"), Message(USER, "Hi")], tokenizer, form)
    ids += tokenizer.encode(f"{lead}Hello!") + end_of_turn(tokenizer, form)
    ids += render_prompt([Message(USER, "And?")], tokenizer, form, continued=True)
    ids += tokenizer.encode(f"{lead}Fine.") + end_of_turn(tokenizer, form)
    assert ids == render(conversation("Hi", "Hello!", "And?", "Fine.", system="S"), tokenizer, form).ids


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_checkpoint_names_its_form(name: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    form = ChatForm.named(name, "keep")
    for file, content in chat_files(tokenizer, CONTEXT, form).items():
        (tmp_path / file).write_bytes(content)
    assert stored_form(tmp_path) == form


def test_a_checkpoint_that_names_no_form_is_asked_in_chatml(tmp_path: Path) -> None:
    assert stored_form(tmp_path) == DEFAULT
    (tmp_path / "chat.json").write_text('{"template": "other", "think": "train"}')
    with pytest.raises(DamageError, match="no chat template 'other'"):
        stored_form(tmp_path)
    with pytest.raises(ConfigError, match="chatml"):
        ChatForm.named("other")


@pytest.mark.long
@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("file", ["gpt2", "gpt-neox-20b", "llama2/tokenizer.model"])
def test_tokenizers_from_elsewhere_too(file: str, name: str, theirs: Theirs, shared_data: Path, tmp_path: Path) -> None:
    """GPT-2's cuts, a SentencePiece model's spaces, offsets that are trimmed."""
    config = TokenizerConfig(algorithm="pretrained", model_file=str(shared_data / "tokenizers" / file))
    tokenizer = Tokenizer.load(import_tokenizer(config, tmp_path / "tokenizer", quiet_context()[0]).path)
    form = ChatForm.named(name)
    if name == "turn-ids" and "llama2" in file:  # whose ids 1 and 2 are special tokens, and 7 and 8 are not
        ids = render(SHAPES["one turn"], tokenizer, form).ids
        assert ids.count(1) == 1 and ids[-1] == 2
        return
    if name == "turn-ids":
        with pytest.raises(MismatchError, match="no special token but a piece of text"):
            render(SHAPES["one turn"], tokenizer, form)
        return
    for shape, messages in SHAPES.items():
        ours, them = render(messages, tokenizer, form), rendered_by(theirs(tokenizer, form), messages)
        assert ours.ids == them.ids, shape
        # Where offsets are trimmed, a space that is a token of its own is in no mask of theirs.
        if not (file == "gpt-neox-20b" and form.template.lead and shape == "no Latin letters"):
            assert ours.trained == them.trained, shape
