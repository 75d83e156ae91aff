"""Questions about the Python library with its docstrings as answers: conversations that need no data but Python.

Every documented name is asked about, in words chosen by a hash of the name so that all phrasings occur everywhere.
What a beginner is likely to ask about is asked in every way there is. Some conversations have two turns, so that the
model sees that a conversation goes on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from lumilab.corpus.sources.python_names import Entry
from lumilab.dataset.order import order_key
from lumilab.posttraining.docstring_answers import answer_from
from lumilab.posttraining.messages import ASSISTANT, USER, Conversation, Message
from lumilab.posttraining.small_talk import GREETED, GREETINGS, THANKED, THANKS, WHO, WHO_ANSWERS, small_talk

# What is asked about an entry, by its kind; {} is its name.
PHRASINGS: dict[str, tuple[str, ...]] = {
    "module": (
        "What is the {} module for?",
        "What does the {} module do?",
        "Explain the {} module.",
        "What is {}?",
        "Tell me about {}.",
    ),
    "class": ("What is {}?", "Explain {}.", "What is {} for?", "Tell me about {}.", "What does {} do?"),
    "function": ("What does {} do?", "Explain {}.", "What is {} for?", "Tell me about {}.", "What does {}() do?"),
    "attribute": ("What is {}?", "Explain {}.", "Tell me about {}."),
}
USAGES = ("How do I use {}?", "How do I call {}?", "Show me how to call {}.")
# A conversation of two turns is made for one name in so many.
TWO_TURNS_EVERY = 6
LONGEST_SIGNATURE = 60
LONGEST_DESCRIPTION = 12  # words of a description that a function is asked for by
DEEPEST = 2  # dots in a name that is asked about

# Modules and builtin types that beginners meet; what else is builtin has no dot in its name.
BEGINNERS_MODULES = """
    abc argparse array asyncio base64 bisect bytes calendar cmath collections contextlib copy csv dataclasses datetime
    decimal dict difflib enum filecmp float fnmatch fractions functools getpass glob gzip hashlib heapq html inspect
    int io itertools json keyword list logging math mimetypes operator os pathlib pickle platform pprint queue random
    re sched secrets set shelve shlex shutil signal socket sqlite3 statistics str string struct subprocess sys
    tempfile textwrap threading time timeit traceback tuple types typing unicodedata unittest urllib uuid warnings
    wave weakref webbrowser zipfile zlib
"""
FAMILIAR = frozenset(BEGINNERS_MODULES.split())
LEFT_OUT = frozenset(("distutils", "lib2to3", "idlelib", "turtledemo"))


@dataclass(frozen=True)
class _Subject:
    """An entry with its answer."""

    name: str
    kind: str
    call: str | None
    answer: str

    @property
    def familiar(self) -> bool:
        top, *rest = self.name.split(".")
        return not rest or top in FAMILIAR

    def choose(self, options: Sequence[str], purpose: str) -> str:
        """One of the options, by the name."""
        return options[order_key(purpose, self.name) % len(options)]


def docstring_conversations(source: str, entries: Iterable[Entry]) -> Iterator[Conversation]:
    """All conversations about the entries and about the assistant itself, in the order of the entries.

    Args:
        source: the configured name, with which ids begin.
        entries: what is asked about.
    """
    subjects = list(_subjects(entries))
    told = Counter(_first_sentence(subject.answer) for subject in subjects)
    for subject in subjects:
        unique = told[_first_sentence(subject.answer)] == 1
        for number, turns in enumerate(_conversations(subject, unique), start=1):
            yield _conversation(f"{source}/{subject.name}#{number}", source, turns)
    for number, pair in enumerate(small_talk(), start=1):
        yield _conversation(f"{source}/small-talk-{number}", source, [pair])


def _subjects(entries: Iterable[Entry]) -> Iterator[_Subject]:
    for entry in entries:
        if entry.name.count(".") > DEEPEST or entry.name.split(".")[0] in LEFT_OUT:
            continue
        answer = answer_from(entry.doc)
        if answer is not None:
            short = entry.signature is not None and len(entry.signature) <= LONGEST_SIGNATURE
            yield _Subject(entry.name, entry.kind, f"{entry.name}{entry.signature}" if short else None, answer)


def _conversations(subject: _Subject, unique: bool) -> Iterator[list[tuple[str, str]]]:
    """The conversations about one subject, each a list of (question, answer)."""
    phrasings = PHRASINGS[subject.kind]
    asked = phrasings if subject.familiar else (subject.choose(phrasings, "phrasing"),)
    for phrasing in asked:
        yield [(phrasing.format(subject.name), subject.answer)]
    if subject.call is not None and subject.familiar:
        yield [_usage(subject)]
    if unique and (wanted := _by_description(subject)):
        yield [wanted]
    if order_key("two turns", subject.name) % TWO_TURNS_EVERY == 0:
        yield list(_two_turns(subject))


def _usage(subject: _Subject) -> tuple[str, str]:
    question = subject.choose(USAGES, "usage").format(subject.name)
    return question, f"Call it as {subject.call}. {subject.answer}"


def _by_description(subject: _Subject) -> tuple[str, str] | None:
    """ "Which function returns the cube root of x?", where the description is short and says what is returned."""
    verb, _, rest = _first_sentence(subject.answer).rstrip(".").partition(" ")
    short = len(rest.split()) <= LONGEST_DESCRIPTION
    if subject.kind != "function" or verb not in ("Return", "Returns") or not short:
        return None
    return f"Which function returns {rest}?", f"{subject.name} returns {rest}."


def _two_turns(subject: _Subject) -> Iterator[tuple[str, str]]:
    """The question before or after something else that people say; after an answer, how to call it if that is known."""
    told = (subject.choose(PHRASINGS[subject.kind], "first turn").format(subject.name), subject.answer)
    order = subject.choose(("call", "greeting", "thanks", "who"), "order of turns")
    if order == "call" and subject.call is not None:
        yield from (told, ("How do I call it?", f"Call it as {subject.call}."))
    elif order == "greeting":
        yield from (_small_talk(subject, GREETINGS, GREETED), told)
    elif order == "thanks":
        yield from (told, _small_talk(subject, THANKS, THANKED))
    else:
        yield from (told, _small_talk(subject, WHO, WHO_ANSWERS))


def _small_talk(subject: _Subject, questions: Sequence[str], answers: Sequence[str]) -> tuple[str, str]:
    return subject.choose(questions, "small talk"), subject.choose(answers, "small talk answer")


def _first_sentence(text: str) -> str:
    return text.partition(". ")[0].rstrip(".") + "."


def _conversation(name: str, source: str, turns: Sequence[tuple[str, str]]) -> Conversation:
    messages = [Message(role, content) for turn in turns for role, content in zip((USER, ASSISTANT), turn, strict=True)]
    return Conversation(name, source, tuple(messages))
