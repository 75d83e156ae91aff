"""Texts read from their beginning: perplexity per token, word and byte, top-k accuracy, and how they are continued.

Every document stands behind the beginning-of-text token, as in training. One longer than the model's context is read in
windows that move on by `stride` tokens, by default the whole context: each predicts the tokens that the window before
did not reach, with what is left of its context before them. A small stride gives each token more context, takes
longer, and gives lower figures, so it is part of the result. Words are counted by white space, and bytes as UTF-8, in
the document as it was given.

Continuations are compared with how the text really goes on by BLEU (sacrebleu) and ROUGE (rouge-score).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any

import torch

from lumilab.errors import ConfigError
from lumilab.evaluation.journal import Journal
from lumilab.evaluation.measures import RANKS
from lumilab.evaluation.scoring import score_targets
from lumilab.inference.engine import Engine
from lumilab.recipe.schema import SamplingConfig
from lumilab.work.context import WorkContext

Window = tuple[int, int, int]
TOGETHER = 2**11  # tokens read in one forward pass
PROMPT_TOKENS, REFERENCE_TOKENS = 64, 64  # of a document that is continued: what is shown, and what is compared


@dataclass(frozen=True)
class Document:
    """A text to read.

    Attributes:
        text: what the model reads.
        words, bytes: by what its log-likelihood is divided, counted before anything was done to it.
    """

    text: str
    words: int
    bytes: int

    @classmethod
    def of(cls, text: str, original: str | None = None) -> Document:
        """A text, and what it was before its spaces were put right."""
        counted = text if original is None else original
        return cls(text, len(re.split(r"\s+", counted.strip())), len(counted.encode()))


@dataclass(frozen=True)
class TextScores:
    """What a model made of documents.

    Attributes:
        tokens, words, bytes: how many were predicted.
        nats: summed negative log-likelihood.
        hits: for each of RANKS, how many tokens were among that many most likely ones.
        documents: each one's tokens, words, bytes and nats, for standard errors and comparisons.
    """

    tokens: int
    words: int
    bytes: int
    nats: float
    hits: Mapping[int, int]
    documents: tuple[tuple[int, int, int, float], ...]

    def figures(self) -> dict[str, float]:
        """Under the harness's names, with standard errors by the ratio's delta method over documents."""
        figures: dict[str, float] = {"bits_per_byte,none": self.nats / self.bytes / math.log(2)}
        figures["bits_per_byte_stderr,none"] = self._error(2) / math.log(2)
        for name, column, count in (("token", 0, self.tokens), ("word", 1, self.words), ("byte", 2, self.bytes)):
            perplexity = math.exp(self.nats / count)
            figures[f"{name}_perplexity,none"] = perplexity
            figures[f"{name}_perplexity_stderr,none"] = perplexity * self._error(column)
        for rank in RANKS:
            share = self.hits[rank] / self.tokens
            figures[f"top_{rank}_accuracy,none"] = share
            figures[f"top_{rank}_accuracy_stderr,none"] = math.sqrt(share * (1 - share) / self.tokens)
        return figures

    def _error(self, column: int) -> float:
        """Standard error of nats per unit: documents are drawn, not tokens, which depend on each other."""
        count = len(self.documents)
        if count < 2:
            return math.nan
        total = sum(document[column] for document in self.documents)
        mean = self.nats / total
        squares = sum((document[3] - mean * document[column]) ** 2 for document in self.documents)
        return math.sqrt(count / (count - 1) * squares) / total


def read_documents(
    engine: Engine, documents: Sequence[Document], stride: int | None, journal: Journal, context: WorkContext
) -> TextScores:
    """Predicts documents.

    Args:
        engine: the model.
        documents: at least one.
        stride: tokens that a window moves on by, at most the context; None for all of it, so that no windows overlap.
        journal: what was read before is not read again.
        context: where progress goes and stops come from.

    Raises:
        ConfigError: the stride is longer than the context.
    """
    stride = engine.context if stride is None else stride
    if not 1 <= stride <= engine.context:
        raise ConfigError(
            f"A stride of {stride} leaves out tokens: the model's context is {engine.context}",
            where="--stride",
            mend=f"give 1 to {engine.context}.",
        )
    found = []
    with context.report.task("Reading documents", total=len(documents), unit="documents") as task:
        for document in documents:
            question = (document.text, stride)
            if not journal.has("perplexity", question):
                context.stop.check()
                journal.keep("perplexity", question, _read_one(engine, document.text, stride))
            else:
                journal.remembered += 1
            found.append((document, journal.get("perplexity", question)))
            task.advance()
    totals = tuple((each["tokens"], document.words, document.bytes, each["nats"]) for document, each in found)
    tokens, words, size, nats = (sum(column) for column in zip(*totals, strict=True))
    hits = {rank: sum(each["hits"][str(rank)] for _, each in found) for rank in RANKS}
    return TextScores(int(tokens), int(words), int(size), float(nats), hits, totals)


@torch.no_grad()
def _read_one(engine: Engine, text: str, stride: int) -> dict[str, Any]:
    ids = [engine.tokenizer.bos_id, *engine.tokenizer.encode(text)]
    nats, hits = 0.0, dict.fromkeys(map(str, RANKS), 0)
    for batch in _alike(windows(len(ids) - 1, engine.context, stride), engine.context):
        skipped = batch[0][1] - batch[0][0]
        read = torch.tensor([ids[start:end] for start, _, end in batch], device=engine.device)
        targets = torch.tensor([ids[first + 1 : end + 1] for _, first, end in batch], device=engine.device)
        features = engine.model.features(read)[:, skipped:].flatten(0, 1)
        found, ranks = score_targets(engine.model, features, targets.flatten())
        nats -= float(found.double().sum())
        for rank in RANKS:
            hits[str(rank)] += int((ranks < rank).sum())
    return {"tokens": len(ids) - 1, "nats": nats, "hits": hits}


def windows(length: int, context: int, stride: int) -> Iterator[Window]:
    """Of each window its beginning, the token after which it predicts, and its end: each of `length` once."""
    done = 0
    while done < length:
        end = min(done + (context if done == 0 else stride), length)
        yield max(0, end - context), done, end
        done = end


def _alike(found: Iterator[Window], context: int) -> Iterator[list[Window]]:
    """Consecutive windows of the same lengths, as many as go through the model together."""
    most = max(1, TOGETHER // context)
    for _, group in groupby(found, key=lambda window: (window[2] - window[0], window[1] - window[0])):
        while batch := list(islice(group, most)):
            yield batch


def continue_documents(
    engine: Engine, documents: Sequence[Document], journal: Journal, context: WorkContext
) -> tuple[dict[str, float], int]:
    """Continues the beginning of each document greedily, and compares with how it goes on.

    Returns:
        BLEU and ROUGE under their names, and how many documents were long enough.

    Raises:
        ConfigError: sacrebleu or rouge-score is not installed, or no document is long enough.
    """
    corpus_bleu, rouge = _judges()
    shown = min(PROMPT_TOKENS, engine.context // 2)
    length = min(REFERENCE_TOKENS, engine.context - shown - 1)
    asked = [ids for document in documents if len(ids := engine.tokenizer.encode(document.text)) >= shown + length]
    if not asked:
        raise ConfigError(
            f"No document has the {shown + length} tokens that a continuation needs",
            where="completion",
            mend="give longer ones.",
        )
    texts, references = [], []
    sampling = SamplingConfig(temperature=0.0, max_tokens=length)
    with context.report.task("Continuing documents", total=len(asked), unit="documents") as task:
        for ids in asked:
            prompt = [engine.tokenizer.bos_id, *ids[:shown]]
            if not journal.has("completion", (prompt, length)):
                context.stop.check()
                new = list(engine.stream(prompt, sampling))
                journal.keep("completion", (prompt, length), engine.tokenizer.decode(new))
            else:
                journal.remembered += 1
            texts.append(journal.get("completion", (prompt, length)))
            references.append(engine.tokenizer.decode(ids[shown : shown + length]))
            task.advance()
    judged = [rouge.score(reference, text) for reference, text in zip(references, texts, strict=True)]
    figures = {"bleu,none": float(corpus_bleu(texts, [references]).score)}
    for name in ("rouge1", "rouge2", "rougeL"):
        values = torch.tensor([each[name].fmeasure for each in judged], dtype=torch.float64)
        figures[f"{name},none"] = float(values.mean())
        figures[f"{name}_stderr,none"] = float(values.std() / math.sqrt(len(values))) if len(values) > 1 else math.nan
    return figures, len(asked)


def _judges() -> tuple[Any, Any]:
    try:
        from rouge_score.rouge_scorer import RougeScorer
        from sacrebleu import corpus_bleu
    except ImportError as error:
        raise ConfigError(
            f"BLEU and ROUGE need {error.name}, which is not installed", mend="pip install 'lumilab[eval]'"
        ) from None
    return corpus_bleu, RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
