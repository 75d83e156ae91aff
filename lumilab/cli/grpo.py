"""`lumi grpo RECIPE`: lets a model practise on questions whose answers can be graded."""

from __future__ import annotations

from lumilab.cli.options import Out, Overrides, RecipeReference, Trial, load, run_folder
from lumilab.cli.running import bring_up_to_date
from lumilab.errors import ConfigError
from lumilab.work.progress import Reporter


def grpo(recipe: RecipeReference, overrides: Overrides = None, out: Out = None, test: Trial = False) -> None:
    """Reinforcement learning from graded answers (GRPO): runs a recipe as far as its grpo stage."""
    loaded = load(recipe, overrides, trial=test)
    if loaded.recipe.grpo is None:
        raise ConfigError(
            "This recipe has no section grpo",
            where=recipe,
            mend="add the sections `prompts` and `grpo`, or begin with the preset arithmetic.",
        )
    folder = run_folder(loaded, out)
    report = Reporter()
    bring_up_to_date(loaded.recipe, folder, report, until="grpo")
    report.say(f"The run is in {folder}.")
