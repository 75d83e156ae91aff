"""Proving a tokenizer: its files are as published, its encoders agree, text comes back.

The texts are the built-in sample of odd ones (`probe.py`), on which encoders have been seen to differ.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lumilab.artifact import Artifact
from lumilab.tokenizer.load import EncoderMismatch, Tokenizer
from lumilab.tokenizer.plan import MODEL_NAME
from lumilab.tokenizer.probe import probe_texts


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        check: what was looked at.
        result: what was found, in words.
        good: True or False; None where it is neither, because the check could not be made or proves nothing.
    """

    check: str
    result: str
    good: bool | None


def verify_tokenizer(path: Path) -> Iterator[Finding]:
    """Checks the tokenizer in a file or folder, one thing after the other.

    Raises:
        InputError: there is none.
    """
    if (path / "manifest.json").is_file():
        artifact = Artifact.open(path)
        problems = list(artifact.problems())
        yield Finding("files", str(problems[0]) if problems else "every byte as published", not problems)
    tokenizer = Tokenizer.load(path)
    if (path / "manifest.json").is_file() and "identity" in artifact.manifest.statistics:
        same = artifact.manifest.statistics["identity"] == tokenizer.identity
        yield Finding("identity", tokenizer.identity if same else "another than the manifest says", same)
    else:
        yield Finding("identity", tokenizer.identity, None)
    texts = probe_texts(list(tokenizer.special_names.values()))
    yield _fast_path(tokenizer, len(texts))
    yield _round_trip(tokenizer, texts)
    if (path / MODEL_NAME).is_file():
        yield _sentencepiece(tokenizer, path / MODEL_NAME, texts)


def _fast_path(tokenizer: Tokenizer, count: int) -> Finding:
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always", EncoderMismatch)
        encoder = tokenizer.fast_encoder
    if encoder is not None:
        return Finding("fast encoder", f"the reference's ids for {count} odd texts", True)
    # Whichever it is, ids are right: the reference encodes.
    said = next((str(each.message) for each in raised if issubclass(each.category, EncoderMismatch)), None)
    return Finding("fast encoder", said or "none for this kind of tokenizer; the reference encodes", None)


def _round_trip(tokenizer: Tokenizer, texts: list[str]) -> Finding:
    encoded = tokenizer.encode_reference(texts)
    changed = [text for text, ids in zip(texts, encoded, strict=True) if tokenizer.decode(ids) != text]
    if not changed:
        return Finding("round trip", f"all {len(texts)} odd texts come back unchanged", True)
    shortest = min(changed, key=len)[:40]
    # A tokenizer with a normaliser changes text by design.
    return Finding("round trip", f"{len(changed)} of {len(texts)} odd texts come back changed, as {shortest!r}", None)


def _sentencepiece(tokenizer: Tokenizer, model: Path, texts: list[str]) -> Finding:
    try:
        import sentencepiece
    except ImportError:
        return Finding("sentencepiece", "not installed", None)
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(model))
    different = sum(
        theirs.encode(text) != ids for text, ids in zip(texts, tokenizer.encode_reference(texts), strict=True)
    )
    words = f"{different} of {len(texts)} odd texts have other ids" if different else f"the same {len(texts)} times"
    return Finding("sentencepiece", words, not different or None)
