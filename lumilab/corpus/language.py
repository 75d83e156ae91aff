"""Which language a text is in, and how certain that is.

Two models, one interface. With the path of a fastText model (lid.176.bin or the compressed lid.176.ftz, Joulin et al.
2016, arXiv:1607.01759) the answer is that of FineWeb's pipeline, whose threshold of 0.65 speaks of this model's score.
Without one it is that of py3langid (Lui and Baldwin, "langid.py", ACL 2012; 139 languages), whose model comes in its
wheel: naive Bayes over byte sequences that an automaton finds. Walking that automaton is nearly all of its work, so it
is compiled here; the score is calibrated as py3langid does, by a temperature that grows with the text.

Both look at the first CHARACTERS of a text, which is where the answer is settled, and both are deterministic.
"""

from __future__ import annotations

import math
import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lumilab.corpus.compiled import compiled
from lumilab.errors import InputError

CHARACTERS = 4000
UNDETERMINED = "und"  # ISO 639-2's code for it
_LABEL = "__label__"


class _Model(Protocol):
    def identify(self, text: str) -> tuple[str, float]: ...


class LanguageIdentifier:
    """Tells languages apart.

    Args:
        model: path of a fastText model for language identification; None for the built-in model.

    Raises:
        InputError: there is no such file, or it is no fastText model.
    """

    def __init__(self, model: Path | str | None = None) -> None:
        self._model: _Model = _built_in_model() if model is None else _FastText(Path(model))

    def identify(self, text: str) -> tuple[str, float]:
        """The likeliest language and its probability.

        Returns:
            The language's code, as the model has it (ISO 639-1 where there is one: "en", "de"; `und` for a text without
            anything to go by, and from the built-in model `zxx` for what is no language), and a score from 0 to 1.
        """
        return self._model.identify(text[:CHARACTERS])


class _FastText:
    def __init__(self, path: Path) -> None:
        import fasttext

        where, mend = str(path), "set filters.language.model to the path of lid.176.bin or lid.176.ftz, or to null."
        if not path.is_file():
            raise InputError("There is no such language model", where=where, mend=mend)
        try:
            self._model: Any = fasttext.load_model(str(path))
        except (ValueError, RuntimeError) as error:
            raise InputError("This file is no fastText model", where=where, mend=mend) from error

    def identify(self, text: str) -> tuple[str, float]:
        if not text.strip():
            return UNDETERMINED, 0.0
        # One line is one text to fastText.
        line = text.replace("\n", " ").encode(errors="replace").decode()
        labels, scores = self._model.predict(line, k=1)
        # Its softmax in single precision may come out a little above 1.
        return (labels[0].removeprefix(_LABEL), min(float(scores[0]), 1.0)) if labels else (UNDETERMINED, 0.0)


@lru_cache(maxsize=1)
def _built_in_model() -> _NaiveBayes:
    """Loaded once in a process, because unpacking it takes about a second."""
    from py3langid.langid import MODEL_FILE
    from py3langid.langid import LanguageIdentifier as Py3LangId

    return _NaiveBayes(Py3LangId.from_model_file(MODEL_FILE))


class _NaiveBayes:
    """py3langid's model: how often each of its byte sequences occurs, weighed by language."""

    def __init__(self, model: Any) -> None:
        self._rows = np.frombuffer(model.tk_nextmove, dtype=f"u{model.tk_nextmove.itemsize}").reshape(-1, 256)
        self._row_of_state = np.frombuffer(model.tk_row, dtype=f"u{model.tk_row.itemsize}")
        self._feature_of_state = np.asarray(model.tk_output, dtype=np.int32)
        self._weights = np.ascontiguousarray(model.nb_ptc, dtype=np.float32)
        self._priors = np.asarray(model.nb_pc, dtype=np.float32)
        self._languages: list[str] = sorted(set(model.nb_classes))
        # Some languages have a class for each of their scripts.
        self._language_of_class = np.searchsorted(self._languages, model.nb_classes)

    def identify(self, text: str) -> tuple[str, float]:
        if text.isupper():
            text = text.lower()
        data = np.frombuffer(unicodedata.normalize("NFC", text).encode(errors="replace"), np.uint8)
        evidence = _evidence(data, self._rows, self._row_of_state, self._feature_of_state, self._weights)
        if not evidence.any():
            return UNDETERMINED, 0.0
        scores = (evidence + self._priors) / math.sqrt(len(data))
        probabilities = np.exp(scores - scores.max())
        by_language = np.bincount(self._language_of_class, probabilities / probabilities.sum())
        best = int(by_language.argmax())
        return self._languages[best], min(float(by_language[best]), 1.0)


@compiled
def _evidence(
    data: NDArray[np.uint8],
    rows: NDArray[np.unsignedinteger[Any]],
    row_of_state: NDArray[np.unsignedinteger[Any]],
    feature_of_state: NDArray[np.int32],
    weights: NDArray[np.float32],
) -> NDArray[np.float32]:
    """The sum, over the features in the text, of log(1 + occurrences) times the feature's log-probabilities.

    Args:
        data: uint8 [n], UTF-8.
        rows: [r, 256], the state that follows at each byte; many states share a row.
        row_of_state: [s].
        feature_of_state: int32 [s], negative where a state ends no feature.
        weights: float32 [features, classes].

    Returns:
        float32 [classes]; zeros for a text without features.
    """
    occurrences = np.zeros(len(weights), np.int32)
    found = np.empty(len(data), np.int32)  # each feature once, in the order of the text
    count = 0
    state = 0
    for byte in data:
        state = rows[row_of_state[state], byte]
        feature = feature_of_state[state]
        if feature >= 0:
            if occurrences[feature] == 0:
                found[count] = feature
                count += 1
            occurrences[feature] += 1
    evidence = np.zeros(weights.shape[1], np.float32)
    for feature in found[:count]:
        factor = np.float32(math.log1p(occurrences[feature]))
        for column in range(len(evidence)):
            evidence[column] += factor * weights[feature, column]
    return evidence
