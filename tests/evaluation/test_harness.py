"""lm-evaluation-harness on our model and on its own `hf` model of the same checkpoint: equal figures, item by item."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_chat import MODEL, publish_model
from tiny_corpus import quiet_context

from lumilab.artifact import Artifact
from lumilab.errors import ConfigError, InputError, Interrupted
from lumilab.evaluation.harness.find import TaskRequest, find_tasks, shipped_names
from lumilab.evaluation.harness.local_data import read, written_normally
from lumilab.evaluation.harness.run import Asked, Outcome, evaluate_tasks, quiet_harness
from lumilab.evaluation.journal import Journal
from lumilab.inference.engine import Engine

pytest.importorskip("lm_eval", reason="lm-eval is not installed")

WORDS = ("the", "cat", "sat", "on", "a", "mat", "near", "some", "old", "river", "and", "sang", "to", "seven", "birds")


def rows(draw: random.Random) -> dict[str, list[dict[str, Any]]]:
    """A few rows of each benchmark, in the forms of the files that are about."""

    def text(count: int) -> str:
        return " ".join(draw.choices(WORDS, k=count))

    def label(count: int) -> int:
        return draw.randrange(count)

    return {
        "lambada": [{"text": text(draw.randint(5, 30))} for _ in range(6)],
        "hellaswag": [
            {"query": f"{text(2)}: {text(9)}", "choices": [text(5) for _ in range(4)], "label": label(4)},
            {"activity_label": "Cats", "ctx_a": "A cat.", "ctx_b": "it", "endings": ["[title] a", "b"], "label": 1},
        ],
        "boolq": [{"passage": text(30), "question": text(4), "answer": bool(label(2))} for _ in range(6)],
        "piqa": [{"goal": text(5), "sol1": text(6), "sol2": text(7), "label": label(2)} for _ in range(5)],
        "arc-easy": [
            {"question": text(8), "choices": [text(2) for _ in range(4)], "label": label(4)},
            {"question": text(8), "choices": {"text": ["a cat", "the mat"], "label": ["A", "B"]}, "answerKey": "B"},
        ],
        "winogrande": [
            {"question": "The cat saw the bird because _ was hungry.", "choices": ["cat", "bird"], "label": 0},
            {"sentence": "A cat saw a bird but _ sang.", "option1": "cat", "option2": "bird", "answer": "2"},
        ],
        "gsm8k": [{"question": text(6), "answer": f"{text(4)} #### {label(90)}"} for _ in range(3)],
        "wikitext-2": [{"page": f" = {text(2)} = \n \n {text(200)} , {text(3)} @-@ {text(2)} . \n"} for _ in range(2)],
    }  # fmt: skip


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of data, each benchmark in its own folder."""
    folder, draw = tmp_path_factory.mktemp("benchmarks"), random.Random(3)
    for name, listed in rows(draw).items():
        (folder / name).mkdir()
        (folder / name / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in listed))
    (folder / "gsm8k" / "train.jsonl").write_bytes((folder / "gsm8k" / "test.jsonl").read_bytes() * 2)
    for split, count in (("test", 4), ("dev", 5)):
        (folder / "mmlu" / split).mkdir(parents=True)
        for subject in ("old_rivers", "green_birds"):
            with (folder / "mmlu" / split / f"{subject}_{split}.csv").open("w", newline="") as stream:
                lines = csv.writer(stream)
                lines.writerow(["question", "choice0", "choice1", "choice2", "choice3", "answer"])
                lines.writerows([["Which?", *draw.choices(WORDS, k=4), draw.randrange(4)] for _ in range(count)])
    return folder


@pytest.fixture(scope="module")
def checkpoint(tokenizer_artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish_model(tmp_path_factory.mktemp("measured") / "model", tokenizer_artifact).path


def ours(checkpoint: Path, asked: Asked, journal: Journal | None = None, *, bos: bool = False) -> Outcome:
    context = quiet_context()[0]
    with quiet_harness():
        from lumilab.evaluation.harness.model import HarnessModel
        from lumilab.evaluation.harness.remembering import Journalled

        model = HarnessModel(Engine.load(checkpoint), bos=bos, stop=context.stop)
        return evaluate_tasks(asked, Journalled(model, journal or Journal(None), context), context)


def theirs(checkpoint: Path, asked: Asked) -> Outcome:
    context = quiet_context()[0]
    with quiet_harness():
        from lm_eval.models.huggingface import HFLM

        from lumilab.evaluation.harness.remembering import Journalled

        model = HFLM(pretrained=str(checkpoint), device="cpu", dtype="float32", batch_size=4)
        return evaluate_tasks(asked, Journalled(model, Journal(None), context), context)


def check_equal(one: Outcome, other: Outcome, tolerance: float = 1e-4) -> int:
    """Item by item, then the metrics; returns how many log-likelihoods were compared."""
    compared = 0
    assert one.samples.keys() == other.samples.keys()
    for task, samples in one.samples.items():
        for mine, reference in zip(samples, other.samples[task], strict=True):
            for name in ("doc_id", "doc_hash", "target_hash", "prompt_hash"):
                assert mine[name] == reference[name]
            for answer, expected in zip(mine["filtered_resps"], reference["filtered_resps"], strict=True):
                if isinstance(answer, str):
                    assert answer == expected
                    continue
                values = (answer, expected) if isinstance(answer, (list, tuple)) else ((answer,), (expected,))
                # A page's log-likelihood is a sum over hundreds of tokens, so it is compared by its size.
                assert float(values[0][0]) == pytest.approx(float(values[1][0]), abs=tolerance, rel=1e-5)
                compared += 1
                if len(values[0]) > 1:
                    assert str(values[0][1]) == str(values[1][1])
    for task, metrics in other.figures["results"].items():
        for name, value in metrics.items():
            if isinstance(value, float):
                assert one.figures["results"][task][name] == pytest.approx(value, rel=1e-3, abs=1e-9), (task, name)
    return compared


def test_every_shipped_task_scores_as_the_harness_itself(checkpoint: Path, local: Path) -> None:
    tasks = tuple(TaskRequest(name) for name in shipped_names() if name != "gsm8k")
    asked = Asked(tasks, local)
    assert check_equal(ours(checkpoint, asked), theirs(checkpoint, asked)) > 50


def test_shots_and_short_texts_score_as_the_harness_itself(checkpoint: Path, local: Path) -> None:
    asked = Asked((TaskRequest("mmlu"), TaskRequest("boolq", 3)), local, shots=2)
    mine = ours(checkpoint, asked)
    check_equal(mine, theirs(checkpoint, asked))
    assert mine.figures["n-samples"]["boolq"] == {"original": 6, "effective": 3}
    assert "green birds" in mine.samples["mmlu_green_birds"][0]["arguments"][0][0]


@pytest.mark.long
@pytest.mark.timeout(3_000)
def test_on_the_real_benchmarks(tokenizer_artifact: Artifact, tmp_path: Path, shared_data: Path) -> None:
    config = MODEL.model_copy(update={"context": 2_048})  # the tiny tokenizer makes many tokens of a passage
    checkpoint = publish_model(tmp_path / "model", tokenizer_artifact, config=config).path
    tasks = tuple(TaskRequest(name, 200) for name in shipped_names() if name not in ("gsm8k", "wikitext"))
    asked = Asked((*tasks, TaskRequest("wikitext", 5)), shared_data)
    assert check_equal(ours(checkpoint, asked), theirs(checkpoint, asked)) > 3_000


@pytest.mark.long
@pytest.mark.timeout(3_000)
def test_on_the_real_gsm8k(tokenizer_artifact: Artifact, tmp_path: Path, shared_data: Path) -> None:
    """Five examples and a question are thousands of tokens of the tiny tokenizer, and answers go on to their limit."""
    config = MODEL.model_copy(update={"context": 8_192})
    checkpoint = publish_model(tmp_path / "model", tokenizer_artifact, config=config).path
    asked = Asked((TaskRequest("gsm8k", 200),), shared_data)
    mine = ours(checkpoint, asked)
    check_equal(mine, theirs(checkpoint, asked))
    given = [sample["resps"][0][0] for sample in mine.samples["gsm8k"]]
    assert len(given) >= 200 and len(set(given)) > 20


def test_generated_texts_end_where_the_harness_ends_them(checkpoint: Path, local: Path, tmp_path: Path) -> None:
    task = tmp_path / "sums.yaml"
    task.write_text(
        f"task: sums\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {local}/gsm8k/test.jsonl}}}}\n"
        "output_type: generate_until\ntest_split: test\ndoc_to_text: '{{question}}'\ndoc_to_target: '{{answer}}'\n"
        "generation_kwargs: {until: ['the', ' a'], max_gen_toks: 24, do_sample: false}\n"
        "metric_list: [{metric: exact_match}]\n"
    )
    asked = Asked((TaskRequest(str(task)),))
    mine = ours(checkpoint, asked)
    check_equal(mine, theirs(checkpoint, asked))
    assert any(sample["resps"][0][0] for sample in mine.samples["sums"])


def test_gsm8k_is_asked_with_its_examples(checkpoint: Path, local: Path) -> None:
    outcome = ours(checkpoint, Asked((TaskRequest("gsm8k", 1),), local))
    (strict, *_) = outcome.samples["gsm8k"]
    assert strict["arguments"][0][0].count("Question:") == 6
    assert outcome.figures["n-shot"]["gsm8k"] == 5
    assert outcome.figures["results"]["gsm8k"]["exact_match,strict-match"] in (0.0, 1.0)


def test_with_bos_every_text_begins_with_it(checkpoint: Path, local: Path) -> None:
    plain, begun = (ours(checkpoint, Asked((TaskRequest("piqa"),), local), bos=bos) for bos in (False, True))
    assert plain.samples["piqa"][0]["filtered_resps"] != begun.samples["piqa"][0]["filtered_resps"]


def test_a_killed_evaluation_asks_only_what_is_missing(
    checkpoint: Path, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lumilab.evaluation.harness import model as harness_model

    asked, file = Asked((TaskRequest("piqa"), TaskRequest("wikitext")), local), tmp_path / "answers.jsonl"
    whole = ours(checkpoint, asked)
    score, given = harness_model.score, []

    def dies(model: Any, wanted: Any) -> Any:
        for number, found in score(model, wanted):
            if len(given) == 7:
                raise Interrupted(15)
            given.append(number)
            yield number, found

    monkeypatch.setattr(harness_model, "score", dies)
    with pytest.raises(Interrupted):
        ours(checkpoint, asked, Journal(file))
    monkeypatch.setattr(harness_model, "score", score)
    journal = Journal(file)
    again = ours(checkpoint, asked, journal)
    assert journal.remembered == 7
    assert journal.asked == 10 + 2 - 7
    for task, metrics in whole.figures["results"].items():
        assert again.figures["results"][task] == pytest.approx(metrics)
    journal = Journal(file)
    ours(checkpoint, asked, journal)
    assert (journal.asked, journal.remembered) == (0, 12)


def test_wikitext_pages_are_written_as_the_harness_writes_them(shared_data: Path) -> None:
    from lm_eval.tasks.wikitext.preprocess_wikitext import wikitext_detokenizer

    pages = read(data=str(shared_data), benchmark="wikitext")["test"]
    assert len(pages) == 62
    for page in pages:
        assert written_normally(page) == wikitext_detokenizer(page)


def test_hellaswag_as_published_is_made_as_the_harness_makes_it(local: Path) -> None:
    from datasets import Dataset
    from lm_eval.tasks.hellaswag.utils import process_docs

    (published,) = [row for row in rows(random.Random(3))["hellaswag"] if "ctx_a" in row]
    (expected,) = process_docs(Dataset.from_list([published]))
    mine = read(data=str(local), benchmark="hellaswag")["test"][1]
    assert (mine["query"], mine["choices"], mine["label"]) == (expected["query"], expected["choices"], expected["gold"])


MALFORMED: list[tuple[str, str, str]] = [
    ("boolq", '{"passage": "a", "question": "b"}', "has no field 'label'"),
    ("boolq", '{"passage": "a", "question": "b", "answer": "perhaps"}', "neither true nor false"),
    ("piqa", '{"goal": "a", "sol1": "b", "sol2": "c", "label": 2}', "none of its 2 choices"),
    ("hellaswag", '{"query": "a", "choices": ["b"], "label": -1}', "none of its 1 choices"),
    ("lambada", '{"text": 7}', "is not a text"),
    ("winogrande", '{"question": "no blank", "choices": ["a", "b"], "label": 0}', "has no blank"),
    ("gsm8k", '{"question": "a", "answer": "7"}', "no result behind ####"),
    ("arc-easy", '["a"]', "is not of its form"),
    ("piqa", "{not json", "not JSON"),
    ("piqa", "", "is empty"),
]


@pytest.mark.parametrize(("name", "line", "message"), MALFORMED)
def test_a_malformed_row_is_an_error_with_its_place(tmp_path: Path, name: str, line: str, message: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "test.jsonl").write_text(line and f"\n{line}\n")
    task = {"lambada": "lambada_openai", "arc-easy": "arc_easy"}.get(name, name)
    with quiet_harness(), pytest.raises(InputError, match=message) as caught:
        find_tasks([TaskRequest(task)], tmp_path)
    assert caught.value.where is not None and str(tmp_path) in caught.value.where
    assert line == "" or "line 2" in caught.value.where


@pytest.mark.parametrize(
    ("request_of", "kind", "message"),
    [
        pytest.param(
            lambda folder: ("hellaswagg", folder), ConfigError, "There is no task hellaswagg", marks=pytest.mark.long
        ),  # the harness's registry takes ten seconds to read
        (lambda folder: ("piqa", folder), InputError, "There is no data of piqa"),
        (lambda folder: (str(folder / "none.yaml"), None), ConfigError, "no such task file"),
        (lambda folder: (str(folder / "odd.yaml"), None), ConfigError, "cannot be loaded"),
    ],
)
def test_what_is_no_task_is_refused(
    tmp_path: Path, request_of: Callable[[Path], tuple[str, Path | None]], kind: type[Exception], message: str
) -> None:
    (tmp_path / "odd.yaml").write_text("task: odd\noutput_type: loglikelihood\n")
    name, data = request_of(tmp_path)
    with quiet_harness(), pytest.raises(kind, match=message):
        find_tasks([TaskRequest(name)], data)
