"""The schema: every field explained, and digests that see what shapes the result and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from lumilab.recipe import Recipe, identity, load_recipe
from lumilab.recipe import schema as schema_module
from lumilab.recipe.corpus import PythonSource
from lumilab.recipe.section import Section, runtime, setting
from lumilab.recipe.training import OptimizerConfig, TrainingConfig

SECTIONS = [
    value
    for value in vars(schema_module).values()
    if isinstance(value, type) and issubclass(value, Section) and value is not Section
]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_field_has_one_line_of_help(section: type[BaseModel]) -> None:
    assert section.__doc__
    for name, field in section.model_fields.items():
        assert field.description, name
        assert "\n" not in field.description
        assert not field.description.endswith("."), name


def test_identity_drops_runtime_fields_wherever_they_are() -> None:
    class Inner(Section):
        kept: int = setting(1, "kept")
        dropped: int = runtime(2, "dropped")

    class Outer(Section):
        inner: Inner = setting(Inner(), "a section")
        many: list[Inner] = setting([Inner(), Inner(kept=5)], "sections")
        named: dict[str, Inner] = setting({"a": Inner()}, "sections by name")
        pair: tuple[float, float] = setting((0.5, 1.0), "two numbers")
        nothing: Inner | None = setting(None, "maybe a section")
        logging: Inner = runtime(Inner(), "a section that shapes nothing")

    assert identity(Outer()) == {
        "inner": {"kept": 1},
        "many": [{"kept": 1}, {"kept": 5}],
        "named": {"a": {"kept": 1}},
        "pair": [0.5, 1.0],
        "nothing": None,
    }


def runtime_fields(section: BaseModel, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("runtime"):
            yield (*path, name)
        elif isinstance(value, BaseModel):
            yield from runtime_fields(value, (*path, name))


def test_identity_of_a_real_recipe_is_the_recipe_without_its_runtime_fields() -> None:
    recipe = load_recipe("quickstart").recipe
    expected: dict[str, Any] = recipe.model_dump(mode="json")
    dropped = list(runtime_fields(recipe))
    assert ("pretrain", "log_every") in dropped
    assert ("chat",) in dropped
    for *section, name in dropped:
        part = expected
        for key in section:
            part = part[key]
        del part[name]
    assert identity(recipe) == expected
    assert json.loads(json.dumps(identity(recipe))) == identity(recipe)


@pytest.mark.parametrize("word", ["description=x", "chat.seed=3", "pretrain.log_every=3", "sft.time_limit=3m"])
def test_runtime_settings_do_not_change_the_identity(word: str) -> None:
    plain, changed = load_recipe("quickstart").recipe, load_recipe("quickstart", [word]).recipe
    assert changed != plain
    assert identity(changed) == identity(plain)


@pytest.mark.parametrize("word", ["seed=3", "pretrain.steps=3", "corpus.sources.0.code=false", "sft.batch_size=3"])
def test_other_settings_do(word: str) -> None:
    assert identity(load_recipe("quickstart", [word]).recipe) != identity(load_recipe("quickstart").recipe)


def test_sections_cannot_change_after_loading() -> None:
    recipe = load_recipe("tiny").recipe
    with pytest.raises(ValidationError, match="frozen"):
        recipe.pretrain.steps = 3


def test_sections_refuse_what_they_do_not_know() -> None:
    with pytest.raises(ValidationError, match="extra"):
        OptimizerConfig(speed=3)  # type: ignore[call-arg]


def test_a_recipe_survives_the_way_through_json() -> None:
    recipe = load_recipe("quickstart").recipe
    assert Recipe.model_validate(json.loads(json.dumps(recipe.model_dump(mode="json")))) == recipe


def test_defaults_are_possible() -> None:
    recipe = Recipe(name="x", corpus={"sources": [PythonSource()]})  # type: ignore[arg-type]
    assert recipe.conversations is None
    assert TrainingConfig().steps > 0
