"""The config schema, how recipes extend each other, and the presets."""

from lumilab.recipe.load import LoadedRecipe, load_recipe, preset_names
from lumilab.recipe.schema import Recipe
from lumilab.recipe.section import identity

__all__ = ["LoadedRecipe", "Recipe", "identity", "load_recipe", "preset_names"]
