"""What a training costs before it is begun: parameters, tokens, floating-point operations, bytes on disk. Arithmetic on
the recipe's numbers alone; what memory it takes is in `footprint.py`.

Compute-optimal tokens are about 20 a parameter, all parameters counted (Hoffmann et al. 2022, "Training Compute-Optimal
Large Language Models", table 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from lumilab.model import parameter_shapes
from lumilab.recipe.model import ModelConfig
from lumilab.recipe.training import TrainingConfig

OPTIMAL_TOKENS = 20  # for each parameter
FLOAT32 = 4  # bytes; weights, gradients and all state are kept in it


@dataclass(frozen=True)
class Parameters:
    """How many parameters a model has, by what they are.

    Attributes:
        matrices: of attention and feed-forward layers, the ones Muon is for.
        embeddings: of tokens and of learned positions, and the output layer; a tied one counts once.
        vectors: norms and biases.
        largest_stack: in the matrices of one shape together, which Muon updates at once.
    """

    matrices: int
    embeddings: int
    vectors: int
    largest_stack: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.matrices + self.embeddings + self.vectors


def parameters_of(config: ModelConfig, vocabulary_size: int) -> Parameters:
    """Counts the parameters by their names and shapes."""
    matrices = embeddings = vectors = 0
    stacks: dict[tuple[int, ...], int] = {}
    for name, shape in parameter_shapes(config, vocabulary_size).items():
        size = prod(shape)
        if "embed_" in name or name.startswith("lm_head"):
            embeddings += size
        elif len(shape) == 1:
            vectors += size
        else:
            matrices += size
            stacks[shape] = stacks.get(shape, 0) + size
    return Parameters(matrices, embeddings, vectors, max(stacks.values()))


def optimal_tokens(parameters: int) -> int:
    """Tokens that make the best use of the compute, for a model of so many parameters."""
    return OPTIMAL_TOKENS * parameters


def tokens_of(training: TrainingConfig, window: int) -> int:
    """Tokens of a whole run, those seen again counted again."""
    return training.steps * training.batch_size * window


@dataclass(frozen=True)
class Operations:
    """Floating-point operations of training (forward and backward pass) on one token.

    Attributes:
        multiplied: parameters that a token is multiplied with: 6 operations for each.
        products: those 6 N.
        attention: of the attention weights, for windows of the length that was asked for.
    """

    multiplied: int
    products: float
    attention: float

    @property
    def total(self) -> float:
        """Both."""
        return self.products + self.attention


def operations_per_token(config: ModelConfig, vocabulary_size: int, window: int) -> Operations:
    """In windows of so many tokens.

    Every parameter but those that are looked up is multiplied with; the output layer is, tied or not.
    """
    counted = parameters_of(config, vocabulary_size)
    multiplied = counted.matrices + counted.vectors + vocabulary_size * config.width
    return Operations(multiplied, 6.0 * multiplied, 12.0 * config.layers * config.heads * config.head_dim * window)


def optimizer_bytes(parameters: Parameters, training: TrainingConfig) -> int:
    """Of the optimizer's state: two running means a parameter for AdamW, one for Muon's matrices."""
    means = 1 if training.optimizer.name == "muon" else 2
    return FLOAT32 * (means * parameters.matrices + 2 * (parameters.embeddings + parameters.vectors))


def state_bytes(parameters: Parameters, training: TrainingConfig) -> int:
    """Of one saved training state: weights, optimizer, and the average where one is kept."""
    copies = 2 if training.ema else 1
    return copies * FLOAT32 * parameters.total + optimizer_bytes(parameters, training)


def checkpoint_bytes(parameters: Parameters, training: TrainingConfig) -> int:
    """On disk at the end of a run: the newest states, the best one and the published weights."""
    return (training.keep_checkpoints + 1) * state_bytes(parameters, training) + FLOAT32 * parameters.total


def dataset_bytes(tokens: float, vocabulary_size: int) -> float:
    """Of a dataset of so many tokens on disk."""
    return tokens * (2 if vocabulary_size <= 2**16 else 4)
