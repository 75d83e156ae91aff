"""Arguments that several commands share, and what they turn into."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from lumilab.errors import ConfigError
from lumilab.recipe import LoadedRecipe, load_recipe
from lumilab.recipe.depth import Derived, as_words, derive

RecipeReference = Annotated[str, typer.Argument(help="A recipe file (.yaml) or a preset's name.", metavar="RECIPE")]
Overrides = Annotated[
    list[str] | None, typer.Argument(help="Values to change, such as pretrain.steps=200.", metavar="[KEY=VALUE]...")
]
Out = Annotated[Path | None, typer.Option(help="Folder of the run; runs/NAME otherwise.", metavar="DIR")]
Trial = Annotated[
    bool, typer.Option("--test", help="A trial: the same code on a small slice, in a run of its own (NAME-test).")
]
Depth = Annotated[
    int | None,
    typer.Option(help="The model's layers, from which its size and training follow; see `lumi config depth`.", min=1),
]
ModelPath = Annotated[
    Path | None,
    typer.Argument(help="A run or a checkpoint; the run worked on last otherwise.", metavar="[PATH]"),
]

MaxTokens = Annotated[int, typer.Option(help="Longest text to generate, in tokens.", min=1)]
Temperature = Annotated[float, typer.Option(help="0 for always the most likely token.", min=0)]
TopK = Annotated[int, typer.Option(help="Draw among this many most likely tokens; 0 for all.", min=0)]
TopP = Annotated[float, typer.Option(help="Draw among the most likely tokens that hold this probability.")]
MinP = Annotated[float, typer.Option(help="Drop tokens less likely than this share of the most likely one's.")]
RepetitionPenalty = Annotated[float, typer.Option(help="Above 1, tokens already seen become less likely.")]
PresencePenalty = Annotated[float, typer.Option(help="Taken from the score of each token generated before.")]
FrequencyPenalty = Annotated[float, typer.Option(help="The same, as often as it was generated.")]
LogitBias = Annotated[
    list[str] | None,
    typer.Option(help="Added to the score of a token; may be repeated. -100 forbids it.", metavar="ID=NUMBER"),
]
Stop = Annotated[list[str] | None, typer.Option(help="Text that ends the answer; may be repeated.", metavar="TEXT")]
Seed = Annotated[int, typer.Option(help="Same seed, same text.")]
MaxNewlines = Annotated[int, typer.Option(help="Newlines shown in a row; those beyond are left out.", min=1)]
Quantize = Annotated[
    Literal["none", "bf16", "int8", "int4"],
    typer.Option(help="How weights are kept in memory; int8 and int4 are faster and cost some quality."),
]
Device = Annotated[Literal["auto", "cpu", "cuda", "mps"], typer.Option(help="Where the model runs.")]

SHAPING = ("model.activation=", "model.context=")  # what a depth builds on, and does not decide
LONG = ("pretrain.batch_size", "pretrain.steps")  # what a depth decides that is no trial
TRIAL = (
    "corpus.limit=2000",
    "tokenizer.vocabulary_size=2048",
    "pretrain.steps=30",
    "pretrain.validate_every=15",
    "pretrain.checkpoint_every=15",
    "sft.steps=20",
    "sft.validate_every=10",
    "sft.checkpoint_every=10",
    "evaluation.windows=16",
)


def load(reference: str, overrides: list[str] | None, *, trial: bool = False, depth: int | None = None) -> LoadedRecipe:
    """The recipe a command line means. A trial has its own name, so that it never touches the real run.

    What follows from a depth stands between the recipe and the values given on the command line.
    """
    words = list(overrides or [])
    before = TRIAL if trial else ()
    if depth is not None:
        before = (*as_words(derived_from(reference, [*before, *words], depth, trial=trial)), *before)
    if trial:
        recipe = load_recipe(reference, [*before, *words]).recipe
        before = (*before, *(["conversations.limit=1000"] if recipe.conversations is not None else []))
        words.append(f"name={recipe.name}-test")
    return load_recipe(reference, [*before, *words])


def derived_from(reference: str, words: list[str], depth: int, *, trial: bool = False) -> list[Derived]:
    """What follows from a depth for a recipe with values given on the command line. Those of the size and the training
    are left out here: they may go with what follows from the depth only. A trial keeps the recipe's own batch."""
    given = [word for word in words if not word.startswith(("model.", "pretrain.")) or word.startswith(SHAPING)]
    recipe = load_recipe(reference, given).recipe
    rows = derive(depth, recipe.tokenizer.vocabulary_size, recipe.dataset.window, gated=recipe.model.gated)
    return [row for row in rows if not (trial and row.key in LONG)]


def run_folder(loaded: LoadedRecipe, out: Path | None) -> Path:
    """Where the run lives: `--out`, or `runs/NAME` in the current folder."""
    return (out or Path("runs") / loaded.recipe.name).absolute()


def biases(words: list[str] | None) -> dict[int, float]:
    """What `--logit-bias ID=NUMBER` says.

    Raises:
        ConfigError: one of the words is not of that form.
    """
    try:
        pairs = [word.split("=") for word in words or []]
        return {int(token): float(value) for token, value in pairs}
    except ValueError:
        raise ConfigError(
            "A bias is a token's id and a number, such as 1234=-100", where="--logit-bias", mend="write it so."
        ) from None
