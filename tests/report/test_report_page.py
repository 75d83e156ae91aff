"""The report of a run written by hand: its figures, what is missing, what is damaged, and that text is never markup."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from told_run import EVIL, PRETRAIN_EVENTS, checkpoint, publish, step, write_log, write_results, write_run

from lumilab.artifact import Artifact
from lumilab.errors import InputError
from lumilab.report.cost import operations_of
from lumilab.report.page import render_report, write_report
from lumilab.report.run_view import open_run
from lumilab.report.scores import evaluations_of, read_evaluation
from lumilab.work.context import WorkContext
from lumilab.work.lock import exclusive
from lumilab.work.progress import Reporter
from lumilab.work.stopping import StopRequest


class Words(HTMLParser):
    """Tags, text and headings of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text: list[str] = []
        self.headings: list[int] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("told") / "a run & more")


def words_of(run: Path) -> str:
    return " ".join(" ".join(Words(render_report(open_run(run))).text).split())


def test_all_parts_are_there_and_none_failed(run: Path) -> None:
    page = Words(render_report(open_run(run)))
    assert "cannot be shown" not in " ".join(page.text)
    assert page.headings[0] == 1 and page.headings.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in zip(page.headings, page.headings[1:], strict=False))


def test_the_page_tells_what_the_run_holds(run: Path) -> None:
    words = words_of(run)
    for shown in (
        "pretrain · current",
        "Step 20 of 20, 1,280 trained tokens, 3.0 s of training, best validation loss 4.7500 at step 20.",
        "pretrain: best validation loss 4.750",
        "1 skipped step",
        "step 15: loss 99, gradient norm 1000",
        "rewards/accuracies",
        "lambada: acc",
        "boolq: acc",
        "50.0 % ± 10.0",
        "yes: 88 %, no: 12 %",
        "boolq is below its majority baseline",
        "upon a time",
        "No result yet, or not asked for by the recipe: conversations, sft, prompts, grpo.",
        "3 documents",
        "byte-level BPE",
        "empty content: 1",
        "xz -9e",
    ):
        assert shown in words or shown in words.replace("documents 3", "3 documents"), shown


def test_no_text_of_a_user_or_a_model_becomes_markup(run: Path) -> None:
    page = render_report(open_run(run))
    read = Words(page)
    assert EVIL not in page
    assert read.tags.count("script") == 1 and "img" not in read.tags
    assert "".join(read.text).count(EVIL) > 3
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page)


def test_a_file_of_results_is_read_as_the_harness_writes_it(run: Path) -> None:
    (found,), broken = evaluations_of(run)
    assert not broken
    assert (found.model, found.date) == ("pretrain, step 20", "2026-01-02 00:00")
    scores = {(score.task, score.name): score for score in found.scores}
    assert set(scores) == {
        ("boolq", "acc"),
        ("wikitext", "word_perplexity"),
        ("gsm8k", "exact_match (flexible-extract)"),
    }
    boolq = scores["boolq", "acc"]
    assert (boolq.value, boolq.error, boolq.majority, boolq.items, boolq.shots) == (0.5, 0.1, 0.62, 25, 0)
    assert scores["wikitext", "word_perplexity"].error is None and not scores["wikitext", "word_perplexity"].is_share


def test_results_without_any_of_the_extras_are_read(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"results": {"piqa": {"acc,none": 0.5}}}))
    found = read_evaluation(path)
    assert (found.model, found.date, found.scores[0].value) == ("results", "", 0.5)


@pytest.mark.parametrize("content", ["", "[]", '{"results": 3}', '{"results": {"a": 1}}', "{}"])
def test_a_broken_file_of_results_is_named_and_the_rest_is_shown(tmp_path: Path, content: str) -> None:
    write_log(tmp_path / "checkpoints/pretrain/m0", PRETRAIN_EVENTS)
    write_results(tmp_path, "good.json")
    write_results(tmp_path, "broken.json").write_text(content)
    words = words_of(tmp_path)
    assert "broken.json cannot be read as results." in words and "boolq: acc" in words
    assert "cannot be shown" not in words


def test_a_training_that_goes_on_is_told_of(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints/pretrain/m1"
    write_log(folder, [step(5, 6.0, 2.0)])
    assert "A training of pretrain has not ended, and nothing is at work on it now: step 5." in words_of(tmp_path)
    with exclusive(folder, WorkContext(Reporter(), StopRequest())):
        words = words_of(tmp_path)
    assert "A training of pretrain is going on: step 5." in words
    assert "There is no corpus yet." in words and "Nothing has been evaluated yet." in words
    assert "cannot be shown" not in words


def test_a_newer_training_stands_beside_the_current_result(tmp_path: Path) -> None:
    model = checkpoint(tmp_path, "pretrain", "m0", {}, steps=20)
    write_log(model.path.parent, PRETRAIN_EVENTS)
    write_log(tmp_path / "checkpoints/pretrain/m1", [step(5, 6.0, 2.0)])
    run = open_run(tmp_path)
    assert [(each.key, each.current, each.steps) for each in run.trainings] == [("m0", True, 20), ("m1", False, None)]


def test_a_training_without_any_result_is_of_as_many_steps_as_its_log_says(tmp_path: Path) -> None:
    begun = {"event": "begin", "step": 0, "steps": 40, "hardware": "Training on cpu with 2 threads, float32"}
    write_log(tmp_path / "checkpoints/pretrain/m1", [begun, step(5, 6.0, 2.0)])
    words = words_of(tmp_path)
    assert "Step 5 of 40" in words
    assert "Training on cpu with 2 threads, float32." in words


def test_a_result_made_from_an_older_one_is_told_of(tmp_path: Path) -> None:
    corpus = publish(tmp_path, "corpus", "corpus/c0", {}, {"card.json": {}})
    publish(tmp_path, "tokenizer", "tokenizer/t0", {"corpus": corpus}, {"card.json": {}})
    publish(tmp_path, "corpus", "corpus/c1", {}, {"card.json": {"other": 1}})
    words = words_of(tmp_path)
    assert "tokenizer was made from an older corpus; `lumi run` would make it anew." in words
    # The cards are not in the form that cards have: their parts say so, and the others are there.
    assert words.count("This part cannot be shown") == 2
    assert "Cost" in words


def test_a_damaged_result_is_told_of(run: Path, tmp_path: Path) -> None:
    copy = write_run(tmp_path / "run")
    (copy / "tokenizer/t0/card.json").write_text("{}")
    words = words_of(copy)
    assert "The result of tokenizer cannot be read" in words and "tokenizer · cannot be read" in words
    assert "Step 20 of 20" in words


@pytest.mark.parametrize("kind", ["missing", "empty", "artifact", "file"])
def test_what_is_no_run_is_refused(tmp_path: Path, kind: str) -> None:
    place: Any = tmp_path / kind
    if kind == "empty":
        place.mkdir()
    elif kind == "artifact":
        checkpoint(place.parent, "pretrain", "m0", {}, 1)
        place = place.parent / "checkpoints/pretrain/m0/final"
    elif kind == "file":
        place.write_text("")
    with pytest.raises(InputError) as error:
        open_run(place)
    assert error.value.mend


def test_the_page_is_written_where_it_is_asked_for(run: Path, tmp_path: Path) -> None:
    assert write_report(run) == run / "report.html"
    assert write_report(run, tmp_path / "sub" / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_operations_of_a_training_by_hand(run: Path) -> None:
    # Two layers: attention 32x32 + 2 of 32x16 + 32x32, feed-forward 3 of 32x64; norms 2x32 + 2x16 each, one at the end.
    layer = 32 * 32 + 2 * 32 * 16 + 32 * 32 + 3 * 32 * 64 + 2 * 32 + 2 * 16
    multiplied = 2 * layer + 32 + 512 * 32
    attention = 12 * 2 * 2 * 16 * 64
    model = Artifact.open(run / "checkpoints/pretrain/m0/final")
    assert operations_of(model, 1280) == (6 * multiplied + attention) * 1280
