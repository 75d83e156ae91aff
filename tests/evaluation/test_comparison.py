"""What is said of differences, against figures worked out by hand and the normal approximation."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumilab.errors import ConfigError, InputError
from lumilab.evaluation.assessment import assess, size_of
from lumilab.evaluation.comparison import changes, compare
from lumilab.evaluation.label_shares import label_shares
from lumilab.evaluation.result_files import Result, history, read_result, write_result
from lumilab.evaluation.result_page import comparison_page, summary
from lumilab.evaluation.significance import ItemScores, difference, item_scores
from lumilab.evaluation.suites import SUITES, requested


def result(name: str, right: list[int], perplexity: list[tuple[float, int]] | None = None, date: float = 1.0) -> Result:
    """A result of a task with items that were answered rightly or not."""
    items: list[dict[str, Any]] = [
        {"doc_id": number, "doc_hash": f"h{number}", "acc": float(one)} for number, one in enumerate(right)
    ]
    share = float(np.mean(right))
    error = math.sqrt(share * (1 - share) / len(right))
    figures: dict[str, Any] = {
        "results": {"quiz": {"alias": "quiz", "acc,none": share, "acc_stderr,none": error}},
        "higher_is_better": {"quiz": {"acc": True}},
        "n-samples": {"quiz": {"original": len(right), "effective": len(right)}},
        "date": date,
        "lumilab": {"name": name, "baselines": {}, "assessment": [], "digest": "d" * 64},
    }  # fmt: skip
    samples = {"quiz": items}
    if perplexity is not None:
        nats, words = (sum(column) for column in zip(*perplexity, strict=True))
        figures["results"]["text"] = {"word_perplexity,none": math.exp(-nats / words)}
        samples["text"] = [
            {"doc_id": number, "doc_hash": f"t{number}", "word_perplexity": pair}
            for number, pair in enumerate(perplexity)
        ]
    return Result(figures, samples)


def scores_of(right: npt.NDArray[np.bool_]) -> ItemScores:
    scores = item_scores([{"doc_id": number, "acc": float(one)} for number, one in enumerate(right)], "acc")
    assert scores is not None
    return scores


def test_the_interval_is_that_of_the_differences() -> None:
    draw = np.random.default_rng(1)
    one, other = (draw.random(400) < share for share in (0.7, 0.5))
    found = difference(scores_of(one), scores_of(other))
    assert found is not None
    apart = one.astype(float) - other.astype(float)
    error = apart.std(ddof=1) / math.sqrt(400)
    assert found.value == pytest.approx(apart.mean())
    assert (found.low, found.high) == pytest.approx(
        (apart.mean() - 1.96 * error, apart.mean() + 1.96 * error), abs=0.2 * error
    )
    assert found.certain and found.probability < 0.01


def test_about_one_in_twenty_equal_models_is_called_different() -> None:
    draw = np.random.default_rng(2)
    certain = 0
    for _ in range(200):
        found = difference(scores_of(draw.random(80) < 0.5), scores_of(draw.random(80) < 0.5))
        assert found is not None
        certain += found.certain
    assert 2 <= certain <= 22  # 10 expected; beyond these a binomial is once in a thousand times


@given(st.lists(st.tuples(st.floats(-90, -1), st.integers(1, 40)), min_size=2, max_size=20))
def test_a_perplexity_is_worked_out_from_sums(pairs: list[tuple[float, int]]) -> None:
    scores = item_scores([{"doc_id": i, "word_perplexity": pair} for i, pair in enumerate(pairs)], "word_perplexity")
    assert scores is not None
    nats, words = (sum(column) for column in zip(*pairs, strict=True))
    assert scores.score()[0] == pytest.approx(math.exp(-nats / words))


def test_models_on_other_items_are_compared_by_their_errors() -> None:
    one, other = result("a", [1] * 60 + [0] * 40), result("b", [1] * 50)
    (change,) = changes(other, one)
    assert change.worse and not change.better
    assert change.difference is not None
    reach = 1.959964 * math.sqrt(0.6 * 0.4 / 100)
    assert (change.difference.low, change.difference.high) == pytest.approx((-0.4 - reach, -0.4 + reach))


def test_ranks_are_shared_by_those_that_cannot_be_told_apart() -> None:
    good, same, bad = [1] * 90 + [0] * 10, [1] * 89 + [0] * 10 + [1], [1] * 40 + [0] * 60
    (row,) = compare([result("bad", bad), result("good", good), result("same", same)])
    entries = [entry for entry in row.entries if entry is not None]
    assert [entry.rank for entry in entries] == [3, 1, 1]
    assert [entry.best for entry in entries] == [False, True, True]
    page = comparison_page([result("good", good), result("same", same)])
    assert "not different (95 %)" in page and "**90.0 %" in page
    assert "different (95 %)" in comparison_page([result("good", good), result("bad", bad)])


def test_lower_perplexities_are_better() -> None:
    right = [1, 0]
    low, high = ([(-20.0 * factor - n, 10) for n in range(8)] for factor in (1, 2))
    before, after = result("a", right, low), result("b", right, high)
    change = next(change for change in changes(before, after) if change.task == "text")
    assert change.worse and change.after > change.before


def test_results_are_kept_and_read_again(tmp_path: Path) -> None:
    first, second = result("run/sft/final", [1, 0, 1], date=1_000.0), result("run/sft/final", [1, 1, 1], date=2_000.0)
    for one in (first, second):
        path = write_result(one, summary(one), tmp_path)
    assert path.name == "results_1970-01-01T00-33-20.000_run-sft-final.json"
    assert read_result(tmp_path).figures == second.figures
    again = read_result(next(tmp_path.glob("results_1970-01-01T00-16-40*")))
    assert again.figures == first.figures and again.samples == first.samples
    assert [one.figures["date"] for one in history(tmp_path)] == [1_000.0, 2_000.0]
    assert "| quiz |  | 3 | acc | 100.0 % ± 0.0 % |" in next(tmp_path.glob("summary*33*")).read_text()


def test_the_harnesss_own_published_results_can_be_read(shared_data: Path) -> None:
    file = shared_data / "eval-reference" / "pythia-v1" / "70m_step143000.json"
    found = read_result(file)
    assert found.tasks["lambada_openai"]["acc"] == pytest.approx(0.1846, abs=1e-3)


@pytest.mark.parametrize("text", ["", "[]", '{"results": 3}', "{"])
def test_what_is_no_result_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "results_x.json").write_text(text)
    with pytest.raises(InputError, match="no result"):
        read_result(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no results here"):
        read_result(tmp_path / "empty")


def test_majority_and_predicted_labels() -> None:
    def sample(label: int, scores: tuple[float, float]) -> dict[str, Any]:
        return {"doc": {"label": label}, "target": "", "filtered_resps": [(scores[0], False), (scores[1], True)]}

    samples = [sample(1, (-1, -2)), sample(1, (-3, -2)), sample(0, (-3, -2)), sample(1, (-3, -2))]
    shares = label_shares(samples, ["no", "yes"])
    assert shares is not None
    assert (shares.majority, shares.majority_label) == (0.75, "yes")
    assert shares.predicted == {"no": 0.25, "yes": 0.75}
    assert label_shares([{"doc": {}, "target": "word", "filtered_resps": [(-1.0, True)]}], None) is None


def test_targets_by_size() -> None:
    assert [size_of(count) for count in (7_000_000, 42_000_000, 124_000_000)] == ["tiny", "small", "base"]
    good, bad = assess(
        {"perplexity": {"token_perplexity,none": 60.0}, "boolq": {"acc,none": 0.40}}, parameters=7_000_000
    )
    assert "within the 50 to 80" in good
    assert "below the 55 to 65 %" in bad


def test_words_of_the_command_line() -> None:
    assert {task.name: task.limit for task in requested(["quick"])} == SUITES["quick"]
    asked = {task.name: task.limit for task in requested(["piqa:7,boolq", "my/task.yaml:3"], limit=5)}
    assert asked == {"piqa": 7, "boolq": 5, "my/task.yaml": 3}
    for wrong in (["piqa:x"], ["piqa:0"], [","]):
        with pytest.raises(ConfigError):
            requested(wrong)
