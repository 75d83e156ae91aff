r"""The benchmarks' rows in local files, for the tasks in `tasks/`: checked, and brought into one form each.

A folder of data has a folder for each benchmark, named as in BENCHMARKS, with its files under whatever names: JSON
lines, or CSV, in the forms in which they are published. What a row must have is said by its form; a row that lacks it
is an error with the file and the line, never a silently smaller benchmark.

WikiText's files have spaces around punctuation. What the harness lm-eval scores is the page with these put right, but
counts the words and bytes of the file (`written_normally`, `perplexities`): both rules are its own, so that figures
compare with published ones.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lumilab.errors import ConfigError, InputError

if TYPE_CHECKING:
    from datasets import Dataset

Row = dict[str, Any]


def read(*, data: str = "", benchmark: str, subject: str | None = None, **_: Any) -> dict[str, Dataset]:
    """A benchmark's splits, as a task of the harness wants them.

    Args:
        data: the folder with a folder for each benchmark.
        benchmark: a key of BENCHMARKS.
        subject: of MMLU.

    Raises:
        ConfigError: no folder of data was given.
        InputError: there is no file, it is empty, or a row is not of the benchmark's form.
    """
    from datasets import Dataset

    if not data:
        raise ConfigError(
            f"The local task {benchmark} needs the folder of its data", where=benchmark, mend="give it with --data."
        )
    folder = benchmark_folder(Path(data), benchmark)
    splits = {
        split: rows for split in ("test", "dev", "train") if (rows := _rows_of(folder, benchmark, split, subject))
    }
    return {split: Dataset.from_list(rows) for split, rows in splits.items()}


def benchmark_folder(data: Path, benchmark: str) -> Path:
    """Where a benchmark's files are.

    Raises:
        InputError: there is no such folder.
    """
    names = BENCHMARKS[benchmark].folders
    for name in names:
        if (data / name).is_dir():
            return data / name
    raise InputError(
        f"There is no data of {benchmark} here",
        where=str(data),
        mend=f"put its files into a folder {names[0]}, or give another folder with --data.",
    )


def subjects(data: Path) -> list[str]:
    """The subjects of MMLU that there are files of."""
    found = sorted((benchmark_folder(data, "mmlu") / "test").glob("*_test.csv"))
    if not found:
        raise InputError("MMLU has no files test/SUBJECT_test.csv here", where=str(data), mend="add them.")
    return [path.name.removesuffix("_test.csv") for path in found]


def _rows_of(folder: Path, benchmark: str, split: str, subject: str | None) -> list[Row]:
    """The rows of a split: none of one that the benchmark can do without.

    Raises:
        InputError: the split that is measured is missing or empty, or a row is malformed.
    """
    file, known = _file_of(folder, split, subject), BENCHMARKS[benchmark]
    rows = []
    if file is not None:
        reader = _pages if benchmark == "wikitext" else _csv_rows if file.suffix == ".csv" else _json_rows
        for place, row in reader(file):
            try:
                rows.append(known.form(row))
            except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
                what = f"has no field {error}" if isinstance(error, KeyError) else f"is not of its form: {error}"
                raise InputError(
                    f"A row of {benchmark} {what}", where=f"{file}, {place}", mend=f"a row has {known.fields}."
                ) from None
    if not rows and split == "test":
        what = "is empty" if file is not None else "is missing"
        raise InputError(f"The file of {benchmark} to measure on {what}", where=str(file or folder), mend="add rows.")
    return rows


def _file_of(folder: Path, split: str, subject: str | None) -> Path | None:
    """The file of a split. A benchmark in one file is measured on it, whatever it is called."""
    if subject is not None:
        file = folder / split / f"{subject}_{split}.csv"
        return file if file.is_file() else None
    files = [path for path in sorted(folder.iterdir()) if path.suffix in (".jsonl", ".csv", ".tokens", ".txt")]
    rows = [path for path in files if path.suffix != ".txt"] or files
    named = [path for path in rows if split in re.split(r"[._-]", path.stem)]
    if named:
        return named[0]
    others = [path for path in rows if not {"train", "dev", "valid"} & set(re.split(r"[._-]", path.stem))] or rows
    return others[0] if split == "test" and others else None


def _json_rows(file: Path) -> Iterator[tuple[str, Row]]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    row = json.loads(line)
                except ValueError as error:
                    raise InputError(
                        f"A line is not JSON: {error}", where=f"{file}, line {number}", mend="mend or remove it."
                    ) from None
                yield f"line {number}", row


def _csv_rows(file: Path) -> Iterator[tuple[str, Row]]:
    """With a header, or as MMLU is published: question, four choices, a letter."""
    with file.open(newline="", encoding="utf-8") as stream:
        rows = csv.reader(stream)
        names: list[str] | None = None
        for row in rows:
            if names is None:
                names = row if "question" in row else ["question", *(f"choice{index}" for index in range(4)), "answer"]
                if names is row:
                    continue
            yield f"line {rows.line_num}", dict(zip(names, row, strict=False))


def _pages(file: Path) -> Iterator[tuple[str, Row]]:
    """WikiText's pages: each begins with a line ` = Title = `."""
    if file.suffix == ".jsonl":
        yield from _json_rows(file)
        return
    page: list[str] = []
    begins = 1
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if re.fullmatch(r" = [^=].*[^=] = \n?", line):
                if "".join(page).strip():
                    yield f"line {begins}", {"page": "".join(page)}
                page, begins = [], number
            page.append(line)
    if "".join(page).strip():
        yield f"line {begins}", {"page": "".join(page)}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _choice(value: Any, choices: list[str]) -> int:
    """The number of the right choice: 0 for the first."""
    label = int(value)
    if not 0 <= label < len(choices):
        raise ValueError(f"its label {label} is none of its {len(choices)} choices")
    return label


def _lambada(row: Row) -> Row:
    text = _text(row["text"])
    if " " not in text:
        raise ValueError("the text has a single word")
    return {"text": text}


def _hellaswag(row: Row) -> Row:
    """With the question ready, or as published, from which it is made as the harness does."""
    if "query" in row:
        query, choices = _text(row["query"]), [_text(choice) for choice in row["choices"]]
    else:
        context = f"{_text(row['ctx_a'])} {_text(row['ctx_b']).capitalize()}"
        query = _without_marks(f"{_text(row['activity_label'])}: {context}")
        choices = [_without_marks(_text(ending)) for ending in row["endings"]]
    return {"query": query, "choices": choices, "label": _choice(row["label"], choices)}


def _without_marks(text: str) -> str:
    """WikiHow's `[title]` begins a sentence; its other marks in brackets mean nothing."""
    return re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". ")).replace("  ", " ")


def _boolq(row: Row) -> Row:
    answer = row["answer"] if "answer" in row else row["label"]
    if answer not in (True, False):
        raise ValueError(f"its answer {answer!r} is neither true nor false")
    return {"passage": _text(row["passage"]), "question": _text(row["question"]), "label": int(answer)}


def _piqa(row: Row) -> Row:
    choices = [_text(row["sol1"]), _text(row["sol2"])]
    return {"goal": _text(row["goal"]), "choices": choices, "label": _choice(row["label"], choices)}


def _arc(row: Row) -> Row:
    choices = row["choices"]
    if isinstance(choices, Mapping):  # as published: texts with names, and the name of the right one
        texts = [_text(text) for text in choices["text"]]
        label = list(choices["label"]).index(row["answerKey"])
    else:
        texts = [_text(text) for text in choices]
        label = _choice(row["label"], texts)
    return {"question": _text(row["question"]), "choices": texts, "label": label}


def _winogrande(row: Row) -> Row:
    sentence = _text(row["sentence"] if "sentence" in row else row["question"])
    fillings = row["choices"] if "choices" in row else [row["option1"], row["option2"]]
    label = _choice(row["label"] if "label" in row else int(row["answer"]) - 1, fillings)
    before, blank, rest = sentence.partition("_")
    if not blank:
        raise ValueError("the sentence has no blank _")
    return {"beginnings": [before + _text(filling) for filling in fillings], "rest": rest.strip(), "label": label}


def right_filling(row: Row) -> int:
    """For the task winogrande: which beginning is right."""
    return int(row["label"])


def _mmlu(row: Row) -> Row:
    choices = [_text(row[f"choice{index}"]) for index in range(4)]
    answer = _text(row["answer"]).strip()
    label = "ABCD".index(answer) if answer in "ABCD" else _choice(answer, choices)
    return {"question": _text(row["question"]), "choices": choices, "label": label}


def _gsm8k(row: Row) -> Row:
    answer = _text(row["answer"])
    if "####" not in answer:
        raise ValueError("the answer has no result behind ####")
    return {"question": _text(row["question"]), "answer": answer}


def _wikitext(row: Row) -> Row:
    return {"page": _text(row["page"])}


def written_normally(row: Row) -> str:
    """For the task wikitext: the page without the spaces and signs that word-level models needed."""
    text: str = row["page"].replace("s '", "s'")
    for mark in "-,.":
        text = text.replace(f" @{mark}@ ", mark)
    for mark in ":;.!?,":
        text = text.replace(f" {mark} ", f"{mark} ")
    for opening, closing in ("()", "[]", "{}", '""', "''"):
        pattern = rf"{re.escape(opening)}\s*([^{re.escape(closing)}]*?)\s*{re.escape(closing)}"
        text = re.sub(pattern, rf"{opening}\g<1>{closing}", text)
    for wrong, right in (
        ("= = = =", "===="),
        ("= = =", "==="),
        ("= =", "=="),
        (" ° ", "°"),
        (" \n", "\n"),
        ("\n ", "\n"),
    ):
        text = text.replace(wrong, right)
    return text.replace(" N ", " 1 ").replace(" 's", "'s")


def perplexities(row: Row, results: tuple[float]) -> dict[str, tuple[float, int]]:
    """For the task wikitext: the page's log-likelihood, and by what it is divided."""
    (nats,) = results
    words, size = len(re.split(r"\s+", row["page"])), len(row["page"].encode())
    return {"word_perplexity": (nats, words), "byte_perplexity": (nats, size), "bits_per_byte": (nats, size)}


@dataclass(frozen=True)
class Benchmark:
    """How a benchmark's rows are found and read.

    Attributes:
        form: a row of a file to one of the task's; raises KeyError, TypeError or ValueError where it is malformed.
        fields: what a row must have, as an error message says it.
        folders: the names its folder may have.
    """

    form: Callable[[Row], Row]
    fields: str
    folders: tuple[str, ...]


BENCHMARKS: Mapping[str, Benchmark] = MappingProxyType(
    {
        "lambada": Benchmark(_lambada, "text", ("lambada", "lambada_openai")),
        "hellaswag": Benchmark(
            _hellaswag,
            "query, choices and label, or ctx_a, ctx_b, activity_label, endings and label",
            ("hellaswag",),
        ),
        "boolq": Benchmark(_boolq, "passage, question and answer (true or false)", ("boolq",)),
        "piqa": Benchmark(_piqa, "goal, sol1, sol2 and label", ("piqa",)),
        "arc_easy": Benchmark(
            _arc,
            "question, choices and label, or question, choices (text, label) and answerKey",
            ("arc-easy", "arc_easy"),
        ),
        "winogrande": Benchmark(
            _winogrande,
            "sentence, option1, option2 and answer, or question, choices and label",
            ("winogrande",),
        ),
        "mmlu": Benchmark(_mmlu, "question, choice0 to choice3 and answer (a letter, or 0 to 3)", ("mmlu",)),
        "gsm8k": Benchmark(_gsm8k, "question, and answer with #### before the result", ("gsm8k",)),
        "wikitext": Benchmark(_wikitext, "page", ("wikitext-2", "wikitext")),
    }
)
