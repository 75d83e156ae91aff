"""Questions about the library: answers in the library's own words, without its layout."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from lumilab.corpus.sources.python_library import docstrings
from lumilab.corpus.sources.python_names import Entry
from lumilab.posttraining.docstring_answers import MAX_WORDS, answer_from
from lumilab.posttraining.docstring_questions import docstring_conversations
from lumilab.posttraining.messages import ASSISTANT, USER, Conversation, parse_messages


@pytest.mark.parametrize(
    ("docstring", "answer"),
    [
        ("Return the cube root of x.", "Return the cube root of x."),
        ("return the cube root of x", "Return the cube root of x."),
        ("Summary of it.\n\nDetails\nover lines.", "Summary of it. Details over lines."),
        ("Summary of it.\n\nArgs:\n    x: a number", "Summary of it."),
        ("Summary of it.\n:param x: a number", "Summary of it."),
        ("Summary of it.\n    x -- a number", "Summary of it."),
        ("Summary of it.\n\n>>> f(1)\n2", "Summary of it."),
        ("Take one of these. They are:\n\n* a\n* b", "Take one of these."),
        ("B.upper() -> copy of B\n\nReturn a copy of B.", "Return a copy of B."),
        ("D.count(value) -- return number of occurrences", "Return number of occurrences."),
        ("D.pop(k[,d]) -> v, remove specified key", "Remove specified key."),
        ("zip(*iterables) --> Yield tuples until one is exhausted.", "Yield tuples until one is exhausted."),
        (
            "localtime([seconds]) -> (year,\n                    month)\n\nConvert seconds to a tuple.",
            "Convert seconds to a tuple.",
        ),
        ("Serialize ``obj`` to a `str' with *cls* and :class:`~json.Encoder`.",
         "Serialize obj to a str with cls and json.Encoder."),
        ("x() is called (see below.)", "x() is called (see below.)"),
        ("maxsize is the limit of it", "Maxsize is the limit of it."),
        ("f(x)", None),
        ("", None),
        ("Add", None),
    ],
)  # fmt: skip
def test_answers_by_hand(docstring: str, answer: str | None) -> None:
    assert answer_from(docstring) == answer


def test_a_long_docstring_ends_with_a_whole_sentence() -> None:
    sentence = "This sentence has exactly seven words here. "
    answer = answer_from(sentence * 30)
    assert answer is not None
    assert len(answer.split()) <= MAX_WORDS
    assert answer.endswith("words here.")


ENTRIES = [
    Entry("math", "module", None, "Mathematical functions of the C standard.", "math"),
    Entry("math.cbrt", "function", "(x, /)", "Return the cube root of x.", "math"),
    Entry("obscure.Thing", "class", None, "Hold a thing of some kind.", "obscure"),
    Entry("obscure.Thing.size", "attribute", None, "How large it is.", "obscure"),
    Entry("obscure.silent", "function", "()", "obscure.silent()", "obscure"),
    Entry("obscure.a.b.c", "function", "()", "Return what lies deep.", "obscure"),
]


def about(name: str, conversations: list[Conversation]) -> list[Conversation]:
    return [conversation for conversation in conversations if conversation.split_key == f"lib/{name}"]


@pytest.fixture(scope="module")
def conversations() -> list[Conversation]:
    return list(docstring_conversations("lib", ENTRIES))


def test_the_library_answers_what_is_asked_of_it(conversations: list[Conversation]) -> None:
    single = [item.messages for item in about("math.cbrt", conversations) if len(item.messages) == 2]
    asked = {question.content: answer.content for question, answer in single}
    assert asked["What does math.cbrt do?"] == "Return the cube root of x."
    assert asked["Which function returns the cube root of x?"] == "math.cbrt returns the cube root of x."
    assert "Call it as math.cbrt(x, /). Return the cube root of x." in asked.values()


def test_kinds_are_asked_about_in_their_own_words(conversations: list[Conversation]) -> None:
    assert any("math module" in item.messages[0].content for item in about("math", conversations))
    assert not any("()" in item.messages[0].content for item in about("obscure.Thing", conversations))


def test_what_beginners_meet_is_asked_in_more_ways(conversations: list[Conversation]) -> None:
    assert len(about("math.cbrt", conversations)) > len(about("obscure.Thing", conversations)) >= 1


def test_names_without_an_answer_and_deep_ones_are_not_asked_about(conversations: list[Conversation]) -> None:
    assert about("obscure.silent", conversations) == about("obscure.a.b.c", conversations) == []


def test_a_description_that_fits_two_functions_is_not_asked_for() -> None:
    twin = Entry("cmath.cbrt", "function", "(x, /)", "Return the cube root of x.", "cmath")
    questions = [item.messages[0].content for item in docstring_conversations("lib", [*ENTRIES, twin])]
    assert not any(question.startswith("Which function") for question in questions)


def test_it_knows_who_it_is(conversations: list[Conversation]) -> None:
    asked = {item.messages[0].content: item.messages[1].content for item in conversations}
    assert "small language model trained with Lumilab" in asked["Who are you?"].replace(". I was", "")
    assert {"who are you", "Hello", "Thank you."} <= asked.keys()


@pytest.fixture(scope="module")
def whole_library() -> list[Conversation]:
    return list(docstring_conversations("docstrings", docstrings()))


def test_the_real_library_gives_thousands_of_sound_conversations(whole_library: list[Conversation]) -> None:
    assert len(whole_library) > 8_000
    assert len({item.id for item in whole_library}) == len(whole_library)
    for item in whole_library:
        rows = {"messages": [{"role": message.role, "content": message.content} for message in item.messages]}
        assert parse_messages(rows) == item.messages


def test_real_answers_are_clean_sentences(whole_library: list[Conversation]) -> None:
    answers = [message.content for item in whole_library for message in item.messages if message.role == ASSISTANT]
    assert max(len(answer.split()) for answer in answers) < MAX_WORDS + 20  # the call comes before the answer
    assert not any("\n" in answer or "  " in answer for answer in answers)
    assert not any("``" in answer or ">>>" in answer for answer in answers)
    assert sum(answer[-1] in ".!?)" for answer in answers) > 0.99 * len(answers)
    assert not any(re.search(r":(?:class|func|meth):", answer) for answer in answers)


def test_every_phrasing_occurs(whole_library: list[Conversation]) -> None:
    first = Counter(item.messages[0].content.split()[0] for item in whole_library)
    assert {"What", "Explain", "Tell", "How", "Which", "Show"} <= first.keys()
    assert sum(len(item.messages) > 2 for item in whole_library) > 300


def test_second_turns_are_of_every_kind(whole_library: list[Conversation]) -> None:
    turns = [item.messages for item in whole_library if len(item.messages) == 4]
    assert any(messages[2].content == "How do I call it?" for messages in turns)
    assert any(messages[1].content.startswith("Hello!") for messages in turns)
    assert any(messages[3].content.startswith("You are welcome.") for messages in turns)
    assert any(messages[3].content.startswith("I am a small language model") for messages in turns)


def test_well_known_answers(whole_library: list[Conversation]) -> None:
    asked = {item.messages[0].content: item.messages[1].content for item in whole_library}
    assert "JSON formatted str" in asked["What does json.dumps do?"]
    assert "insertion order" in asked["What is collections.OrderedDict?"]
    assert asked["What does math.sqrt do?"] == "Return the square root of x."


def test_questions_come_from_the_user(whole_library: list[Conversation]) -> None:
    assert all(item.messages[0].role == USER for item in whole_library)
