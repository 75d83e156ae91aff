"""The evaluation stage: models before and after training, baselines on the same text, and answers to read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lumilab.artifact import Artifact, ArtifactBuilder
from lumilab.dataset.belonging import tokenizer_for
from lumilab.dataset.shards import TokenShards
from lumilab.dataset.split import TRAIN
from lumilab.errors import MismatchError
from lumilab.evaluation.answers import Answer, answer
from lumilab.evaluation.baselines import COMPRESSORS, compressed_bits_per_byte, predict_by_frequency
from lumilab.evaluation.heldback import HeldBackText
from lumilab.evaluation.measures import Prediction, predict
from lumilab.evaluation.summary import FormKept, Results, write_summary
from lumilab.inference.engine import Engine
from lumilab.inference.sampler import answer_questions
from lumilab.model import Transformer, initialise
from lumilab.posttraining.answers import held_back_questions
from lumilab.posttraining.chat_files import stored_form
from lumilab.recipe.schema import EvaluationConfig
from lumilab.recipe.section import identity
from lumilab.tokenizer.load import Tokenizer
from lumilab.training.checkpoint import LoadedModel, load_model
from lumilab.training.hardware import resolve_device
from lumilab.work.context import WorkContext

CHAT_STAGES = ("sft", "preference", "grpo")  # the last of them that there is answers questions
UNTRAINED_WINDOWS = 32  # enough: without training every window is as hard as any other


def evaluate(
    config: EvaluationConfig,
    checkpoints: Mapping[str, Artifact],
    dataset: Artifact,
    tokenizer: Artifact,
    target: Path,
    context: WorkContext,
    conversations: Artifact | None = None,
) -> Artifact:
    """Measures checkpoints on a dataset's validation split and publishes results.json, samples.json and SUMMARY.md.

    Args:
        config: how much is measured, and which questions are asked.
        checkpoints: by stage, in the order of training; the last one that chats is asked the questions.
        dataset: whose validation split is the text, and whose training split the unigram baseline is fitted on.
        tokenizer: the one all of them were made with.
        target: the folder to publish.
        context: where progress goes and stops come from.
        conversations: whose held-back questions are answered by each model that chats; None where none does.

    Raises:
        MismatchError: a checkpoint or the dataset was made with another tokenizer, or a model's context is shorter
            than the dataset's windows.
        Interrupted: a stop was requested.
    """
    encoder = tokenizer_for(dataset, tokenizer)
    text = HeldBackText.of(dataset, encoder, config.windows)
    models = {stage: _checked_model(artifact, encoder, text) for stage, artifact in checkpoints.items()}
    with ArtifactBuilder(
        target,
        kind="evaluation",
        config={"evaluation": identity(config), "tokenizer_identity": encoder.identity},
        inputs={"dataset": dataset, "tokenizer": tokenizer, **checkpoints}
        | ({"conversations": conversations} if conversations is not None else {}),
    ) as builder:
        results = Results(
            text=text,
            models=_measure_models(models, text, context),
            unigram=predict_by_frequency(text, TokenShards.open(dataset, TRAIN), context),
            compressors={command: compressed_bits_per_byte(text, command, context) for command in COMPRESSORS},
            forms=_keep_form(config, models, encoder, conversations, context),
        )
        answers = _ask(config, models, encoder, context)
        builder.write_json("results.json", results.figures())
        builder.write_json("samples.json", [asdict(item) for item in answers])
        builder.write_bytes("SUMMARY.md", write_summary(results, answers).encode())
        builder.statistics = {"bits_per_byte": results.bits_per_byte()}
        return builder.publish()


def _checked_model(artifact: Artifact, tokenizer: Tokenizer, text: HeldBackText) -> LoadedModel:
    loaded = load_model(artifact, device=resolve_device("auto"))
    tokenizer.check_same(loaded.tokenizer_identity, f"the checkpoint {artifact.path}")
    if loaded.config.context < text.window:
        raise MismatchError(
            f"The dataset's windows have {text.window} tokens, but the model's context is {loaded.config.context}",
            where=str(artifact.path),
            mend="evaluate on a dataset packed with a shorter dataset.window.",
        )
    return loaded


def _measure_models(
    models: Mapping[str, LoadedModel], text: HeldBackText, context: WorkContext
) -> dict[str, Prediction]:
    """Each model's figures, and first those of the weights that training began with."""
    first = next(iter(models.values()))
    untrained = _untrained(first)
    measured = {"untrained": predict(untrained, text.sample(UNTRAINED_WINDOWS), "Measuring untrained", context)}
    for stage, loaded in models.items():
        measured[stage] = predict(loaded.model, text, f"Measuring {stage}", context)
    return measured


def _untrained(loaded: LoadedModel) -> Transformer:
    manifest: dict[str, Any] = loaded.artifact.manifest.config
    model = Transformer(loaded.config, loaded.model.vocabulary_size)
    return initialise(model, manifest["seed"]).to(loaded.model.output_weight.device)


def _ask(
    config: EvaluationConfig, models: Mapping[str, LoadedModel], tokenizer: Tokenizer, context: WorkContext
) -> list[Answer]:
    chats = [models[stage] for stage in CHAT_STAGES if stage in models]
    if not chats or not config.prompts:
        return []
    chat = chats[-1]
    engine = Engine(chat.model, tokenizer, stored_form(chat.artifact.path))
    return list(answer(engine, config.prompts, config.sampling, context))


def _keep_form(
    config: EvaluationConfig,
    models: Mapping[str, LoadedModel],
    tokenizer: Tokenizer,
    conversations: Artifact | None,
    context: WorkContext,
) -> dict[str, FormKept]:
    """How many held-back questions each model that chats answers in the form it was taught.

    An answer may be as long as the context: one that is cut off cannot end its turn.
    """
    if conversations is None or not config.held_back_answers:
        return {}
    questions = held_back_questions(conversations, tokenizer, config.held_back_answers)
    kept = {}
    for stage in CHAT_STAGES:
        if stage not in models or not questions:
            continue
        model = models[stage]
        engine = Engine(model.model, tokenizer, stored_form(model.artifact.path))
        sampling = config.sampling.model_copy(update={"max_tokens": engine.context})
        keeping = 0
        with context.report.task(f"Questions to {stage}", total=len(questions), unit="questions") as task:
            for sample in answer_questions(engine, questions, sampling):
                context.stop.check()
                keeping += bool(sample.keeps_form)
                task.advance()
        kept[stage] = FormKept(len(questions), keeping)
    return kept
