"""lm-eval, which knows nothing but the server's address, gives the score that it gives the model itself."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_pipeline import OBJECTS, SUBJECTS, VERBS
from tiny_talkers import LiveServer

from lumilab.inference.engine import Engine

TASK = """\
task: sentences
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
doc_to_choice: "{{{{choices}}}}"
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: acc_norm, aggregation: mean, higher_is_better: true}}
"""
DOCUMENTS = 24


def write_task(folder: Path) -> None:
    draw = random.Random(3)
    rows = [
        {
            "question": f"{draw.choice(SUBJECTS)} {draw.choice(VERBS)}",
            "choices": draw.sample(OBJECTS, 4),
            "answer": k % 4,
        }
        for k in range(DOCUMENTS)
    ]
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "sentences.yaml").write_text(TASK.format(file=file))


def direct(engine: Engine) -> Any:
    """The model in lm-eval's own interface, without a server: one pass of the whole text for each score."""
    from lm_eval.api.model import TemplateLM

    class Direct(TemplateLM):
        eot_token_id = engine.tokenizer.eos_id

        def tok_encode(self, string: str, **options: Any) -> list[int]:
            return engine.tokenizer.encode(string)

        def _loglikelihood_tokens(self, requests: Any, **options: Any) -> list[tuple[float, bool]]:
            return [self._score(context, answer) for _, context, answer in requests]

        @torch.no_grad()
        def _score(self, context: list[int], answer: list[int]) -> tuple[float, bool]:
            ids = torch.tensor([[*context, *answer]])
            logprobs = engine.model.logits(engine.model.features(ids))[0].log_softmax(-1)[len(context) - 1 : -1]
            own = logprobs.gather(1, torch.tensor(answer)[:, None])
            return float(own.sum()), bool((logprobs.argmax(-1) == torch.tensor(answer)).all())

        def loglikelihood_rolling(self, requests: Any, **options: Any) -> list[float]:
            raise NotImplementedError

        def generate_until(self, requests: Any, **options: Any) -> list[str]:
            raise NotImplementedError

    return Direct()


@pytest.mark.long
@pytest.mark.parametrize("name", ["talker", "babbler"])
def test_a_live_server_scores_as_the_model_itself(
    live: LiveServer, request: pytest.FixtureRequest, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(variable, "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    lm_eval = pytest.importorskip("lm_eval", reason="lm-eval is not installed")
    from lm_eval.models.openai_completions import LocalCompletionsAPI
    from lm_eval.tasks import TaskManager

    write_task(tmp_path)
    tasks = TaskManager(include_path=str(tmp_path), include_defaults=False)
    served = LocalCompletionsAPI(
        base_url=f"{live.url}/v1/completions", model=name, tokenizer_backend="remote", max_length=500, num_concurrent=1
    )
    engine = Engine.load(request.getfixturevalue(name))
    assert served.tokenizer.eos_token_id in engine.stop_ids
    assert served.tokenizer.bos_token_id == engine.tokenizer.bos_id
    models = {"served": served, "direct": direct(engine)}
    results = {
        kind: lm_eval.simple_evaluate(model=model, tasks=["sentences"], task_manager=tasks, bootstrap_iters=0)
        for kind, model in models.items()
    }
    scores = {kind: result["results"]["sentences"] for kind, result in results.items()}
    for metric in ("acc,none", "acc_norm,none"):
        assert scores["served"][metric] == scores["direct"][metric]
    samples = {kind: result["samples"]["sentences"] for kind, result in results.items()}
    for one, other in zip(samples["served"], samples["direct"], strict=True):
        for (mine, greedy), (reference, also_greedy) in zip(
            one["filtered_resps"], other["filtered_resps"], strict=True
        ):
            assert float(mine) == pytest.approx(float(reference), rel=1e-4)
            assert greedy == also_greedy
