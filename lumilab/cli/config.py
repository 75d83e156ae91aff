"""`lumi config`: what a recipe comes to, where each value is from, and what it means."""

from __future__ import annotations

from typing import Annotated

import typer
import yaml
from rich.console import Console
from rich.text import Text

from lumilab.cli.options import Overrides, RecipeReference, derived_from, load

app = typer.Typer(help="Show, explain and list recipes.", no_args_is_help=False, rich_markup_mode=None)


@app.command("show")
def show(recipe: RecipeReference, overrides: Overrides = None) -> None:
    """Print the whole recipe with everything it extends and every default filled in, as YAML."""
    values = load(recipe, overrides).recipe.model_dump(mode="json")
    typer.echo(yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=110), nl=False)


@app.command("explain")
def explain(recipe: RecipeReference, overrides: Overrides = None) -> None:
    """Print each value, where it came from and what it means."""
    from lumilab.recipe.explain import explain as rows_of

    console = Console(highlight=False, soft_wrap=True)
    rows = list(rows_of(load(recipe, overrides)))
    widest = min(max(len(f"{row.key} = {row.value}") for row in rows), 58)
    for row in rows:
        setting = f"{row.key} = {row.value}"
        console.print(
            Text.assemble(
                (setting.ljust(widest), "" if row.origin == "default" else "bold"),
                (f"  {row.origin:<22}", "cyan" if row.origin != "default" else "dim"),
                (f"  {row.help}", "dim"),
            )
        )


@app.command("list")
def list_presets() -> None:
    """Print the recipes that come with lumilab, and how many parameters their models have."""
    from lumilab.model.layout import count_parameters
    from lumilab.recipe import load_recipe, preset_names

    for name in preset_names():
        recipe = load_recipe(name).recipe
        parameters = count_parameters(recipe.model, recipe.tokenizer.vocabulary_size)
        typer.echo(f"{name:<14} {parameters:>13,}  {recipe.description}")


@app.command("depth")
def depth(
    layers: Annotated[int, typer.Argument(help="Layers of the model.", min=1, metavar="DEPTH")],
    recipe: Annotated[str, typer.Argument(help="Whose vocabulary and windows count.", metavar="[RECIPE]")] = "small",
) -> None:
    """Print what `lumi run RECIPE --depth DEPTH` would set, and how each value came about."""
    from lumilab.model.layout import count_parameters

    deep = load(recipe, None, depth=layers).recipe
    rows = derived_from(recipe, [], layers)
    widest = max(len(f"{row.key} = {row.value}") for row in rows)
    for row in rows:
        typer.echo(f"{f'{row.key} = {row.value}'.ljust(widest)}  {row.reason}")
    typer.echo(f"{count_parameters(deep.model, deep.tokenizer.vocabulary_size):,} parameters in all.")
