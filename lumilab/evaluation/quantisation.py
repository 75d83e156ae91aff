"""What storing a model's weights in fewer bits costs: the perplexity of held-back text, before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from lumilab.evaluation.heldback import HeldBackText
from lumilab.evaluation.measures import Prediction, predict
from lumilab.inference.quantise import Quantisation, quantise, stored_bytes
from lumilab.training.checkpoint import load_model
from lumilab.work.context import WorkContext


@dataclass(frozen=True)
class Cost:
    """A way of storing, and what comes of it.

    Attributes:
        kind: how the weights are stored.
        bytes: of all of them.
        prediction: what the model then makes of the text.
    """

    kind: Quantisation
    bytes: int
    prediction: Prediction


def quantisation_costs(
    checkpoint: Path,
    text: HeldBackText,
    context: WorkContext,
    kinds: Sequence[Quantisation] = get_args(Quantisation),
) -> list[Cost]:
    """Measures a checkpoint in each way of storing it, all on the same windows.

    Raises:
        InputError, MismatchError, DamageError: it is not a whole checkpoint.
    """
    costs = []
    for kind in kinds:
        model = quantise(load_model(checkpoint).model, kind)
        costs.append(Cost(kind, stored_bytes(model), predict(model, text, f"predicting with {kind}", context)))
    return costs
