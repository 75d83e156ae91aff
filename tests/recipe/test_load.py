"""Loading recipes: what extends what, what the command line changes, and where every value is from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumilab.errors import ConfigError
from lumilab.recipe import LoadedRecipe, load_recipe, preset_names
from lumilab.recipe.corpus import FilesSource, PythonSource
from lumilab.recipe.explain import explain
from lumilab.recipe.load import checked_section
from lumilab.recipe.schema import Recipe, SamplingConfig

BASE = "name: base\nseed: 1\ncorpus:\n  min_characters: 5\n  sources:\n    - kind: python\n      code: false\n"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, text: str) -> str:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return name


def refusal(reference: str, *words: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_recipe(reference, list(words))
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return caught.value


# --- presets and extending ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_and_says_what_it_is_for(name: str) -> None:
    loaded = load_recipe(name)
    assert loaded.recipe.name == name
    assert loaded.recipe.description


def test_a_chain_of_recipes_adds_up() -> None:
    write("base.yaml", BASE)
    write("middle.yaml", "extends: base.yaml\nname: middle\npretrain: {steps: 10, batch_size: 2}\n")
    write("top.yaml", "extends: middle.yaml\nname: top\npretrain: {steps: 20}\n")
    recipe = load_recipe("top.yaml").recipe
    assert (recipe.name, recipe.seed, recipe.pretrain.steps, recipe.pretrain.batch_size) == ("top", 1, 20, 2)


def test_of_several_bases_the_later_wins_and_the_file_itself_over_all() -> None:
    write("a.yaml", BASE + "pretrain: {steps: 1, batch_size: 1, log_every: 1}\n")
    write("b.yaml", "pretrain: {steps: 2, batch_size: 2}\n")
    write("c.yaml", "extends: [a.yaml, b.yaml]\npretrain: {steps: 3}\n")
    pretrain = load_recipe("c.yaml").recipe.pretrain
    assert (pretrain.steps, pretrain.batch_size, pretrain.log_every) == (3, 2, 1)


def test_the_same_base_by_two_ways_is_no_circle() -> None:
    write("base.yaml", BASE)
    write("a.yaml", "extends: base.yaml\n")
    write("b.yaml", "extends: base.yaml\n")
    assert load_recipe(write("c.yaml", "extends: [a.yaml, b.yaml]\n")).recipe.name == "base"


def test_extending_starts_at_the_folder_of_the_file_that_says_it(tmp_path: Path) -> None:
    write("shared/base.yaml", BASE)
    write("mine/recipes/top.yaml", "extends: ../../shared/base.yaml\nname: top\n")
    loaded = load_recipe("mine/recipes/top.yaml")
    assert loaded.recipe.seed == 1
    assert loaded.folder == tmp_path / "mine" / "recipes"


def test_lists_replace_lists() -> None:
    write("base.yaml", BASE)
    write("top.yaml", "extends: base.yaml\ncorpus:\n  sources:\n    - {kind: files, paths: [a]}\n")
    (source,) = load_recipe("top.yaml").recipe.corpus.sources
    assert isinstance(source, FilesSource)


def test_a_section_can_be_taken_away_and_given_back() -> None:
    assert load_recipe("quickstart", ["conversations=null"]).recipe.conversations is None
    words = ["conversations=null", "conversations.sources=[{kind: docstrings}]"]
    assert load_recipe("quickstart", words).recipe.conversations is not None


@pytest.mark.parametrize("length", [1, 2, 3])
def test_circles_are_refused_and_shown(length: int, tmp_path: Path) -> None:
    for number in range(length):
        write(f"{number}.yaml", f"extends: {(number + 1) % length}.yaml\n")
    error = refusal("0.yaml")
    assert "circle" in error.what
    assert error.where == " -> ".join(str(tmp_path / f"{number % length}.yaml") for number in range(length + 1))


def test_a_circle_through_a_link_is_refused(link: Callable[[Path, Path], None]) -> None:
    write("a.yaml", "extends: b.yaml\n")
    link(Path("b.yaml"), Path("a.yaml"))
    assert "circle" in refusal("a.yaml").what


def test_a_missing_base_names_who_wanted_it() -> None:
    error = refusal(write("top.yaml", "extends: gone.yaml\n"))
    assert "does not exist" in error.what
    assert "gone.yaml" in str(error.where)
    assert "top.yaml" in str(error.where)


@pytest.mark.parametrize("value", ["5", "{a: b}", "[1]", '""', "[tiny, null]"])
def test_extends_must_be_names(value: str) -> None:
    error = refusal(write("top.yaml", f"name: x\nextends: {value}\n"))
    assert "`extends` must be" in error.what
    assert error.where == "top.yaml:2"


def test_an_unknown_preset_names_the_nearest() -> None:
    error = refusal("quickstrat")
    assert "no preset called quickstrat" in error.what
    assert "did you mean quickstart?" in str(error.mend)


def test_a_file_of_a_presets_name_is_not_taken_for_it() -> None:
    write("tiny", "name: mine\n")
    assert load_recipe("tiny").recipe.name == "tiny"


# --- files that are no recipes -----------------------------------------------------------------------------------


def test_a_missing_recipe() -> None:
    error = refusal("nowhere/recipe.yaml")
    assert "does not exist" in error.what
    assert "quickstart" in str(error.mend)


def test_a_folder_is_no_recipe() -> None:
    Path("recipe.yaml").mkdir()
    assert "is a folder" in refusal("recipe.yaml").what


def test_binary_data_is_no_recipe() -> None:
    Path("recipe.yaml").write_bytes(b"\x80\x02}q\x00.")
    assert "not UTF-8" in refusal("recipe.yaml").what


def test_a_list_is_no_recipe() -> None:
    assert "must be a mapping" in refusal(write("recipe.yaml", "- name: x\n")).what


def test_an_empty_file_says_what_is_missing() -> None:
    error = refusal(write("recipe.yaml", ""))
    assert "is missing" in error.what
    assert "recipe.yaml" in str(error.where)


def test_a_name_that_no_file_can_have() -> None:
    assert "no file can have" in refusal(write("top.yaml", 'extends: "a\\0.yaml"\n')).what


def test_a_byte_order_mark_does_no_harm() -> None:
    Path("recipe.yaml").write_bytes(b"\xef\xbb\xbf" + BASE.encode())
    assert load_recipe("recipe.yaml").recipe.name == "base"


# --- overrides ---------------------------------------------------------------------------------------------------


def test_overrides_have_the_types_of_yaml() -> None:
    words = [
        "pretrain.steps=1_000", "pretrain.optimizer.learning_rate=3e-4", "model.qk_norm=false", "pretrain.compile=no",
        "name=2026-11-21", "evaluation.prompts=[a, b]", "evaluation.windows=null", "pretrain.time_limit=30m",
    ]  # fmt: skip
    recipe = load_recipe("tiny", words).recipe
    assert recipe.pretrain.steps == 1000
    assert recipe.pretrain.optimizer.learning_rate == 3e-4
    assert recipe.model.qk_norm is False
    assert recipe.pretrain.compile == "no"
    assert recipe.name == "2026-11-21"
    assert recipe.evaluation.prompts == ["a", "b"]
    assert recipe.evaluation.windows is None
    assert recipe.pretrain.time_limit == "30m"


def test_a_later_override_wins() -> None:
    assert load_recipe("tiny", ["seed=1", "seed=2"]).recipe.seed == 2


def test_an_override_may_hold_an_equals_sign() -> None:
    assert load_recipe("tiny", ["description=a=b"]).recipe.description == "a=b"


def test_one_item_of_a_list_is_changed_by_its_position() -> None:
    words = ["corpus.sources=[{kind: python}, {kind: files, paths: [/a, /b]}]", "corpus.sources.1.paths.0=/c"]
    first, second = load_recipe("tiny", [*words, "corpus.sources.0.code=false"]).recipe.corpus.sources
    assert isinstance(first, PythonSource)
    assert (first.code, first.docstrings) == (False, True)
    assert isinstance(second, FilesSource)
    assert second.paths == ["/c", "/b"]


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("corpus.sources.1.code=false", "without an item 1"),
        ("corpus.sources.code=false", "without an item 'code'"),
        ("pretrain.0=1", "pretrain is not a list"),
        ("0.x=1", "The recipe is not a list"),
        ("conversations.sources.0.name=x", "conversations.sources is not a list"),
        ("evaluation.prompts.0=x", "without an item 0"),
    ],
)
def test_an_item_that_is_not_there_cannot_be_changed(word: str, says: str) -> None:
    error = refusal("tiny", word)
    assert says in error.what
    assert error.where == "command line"


@pytest.mark.parametrize("word", ["pretrain.steps", "=3", "", "   =3", "--steps 3"])
def test_words_that_are_no_overrides(word: str) -> None:
    assert "not of the form key=value" in refusal("tiny", word).what


def test_setting_one_value_keeps_the_sections_own_defaults() -> None:
    recipe = load_recipe("tiny", ["sft.steps=3", "evaluation.sampling.seed=4", "chat.seed=5"]).recipe
    reference = Recipe(name="x", corpus=recipe.corpus)
    assert recipe.sft == reference.sft.model_copy(update={"steps": 3})
    assert recipe.evaluation.sampling == reference.evaluation.sampling.model_copy(update={"seed": 4})
    assert recipe.chat == reference.chat.model_copy(update={"seed": 5})


def test_options_of_a_command_are_checked_like_a_recipe() -> None:
    assert checked_section(SamplingConfig, top_k=3).top_k == 3
    with pytest.raises(ConfigError, match=r"--top-p: .* less than or equal to 1, but got 2"):
        checked_section(SamplingConfig, top_p=2.0)


# --- paths -------------------------------------------------------------------------------------------------------


def paths_of(loaded: LoadedRecipe) -> list[str]:
    source = loaded.recipe.corpus.sources[0]
    assert isinstance(source, FilesSource)
    return source.paths


def test_relative_paths_start_at_the_folder_of_the_file_that_names_them(tmp_path: Path) -> None:
    absolute = tmp_path / "elsewhere"
    sources = f"sources: [{{kind: files, paths: [texts, '{absolute}', 'a*.txt']}}]"
    write("data/base.yaml", f"name: x\ncorpus:\n  {sources}\n")
    write("top.yaml", "extends: data/base.yaml\n")
    assert paths_of(load_recipe("top.yaml")) == [
        str(tmp_path / "data" / "texts"), str(absolute), str(tmp_path / "data" / "a*.txt")
    ]  # fmt: skip


def test_relative_paths_of_an_override_start_at_the_current_folder(tmp_path: Path) -> None:
    write("data/base.yaml", "name: x\ncorpus:\n  sources:\n    - {kind: files, paths: [a, b]}\n")
    loaded = load_recipe("data/base.yaml", ["corpus.sources.0.paths.1=c"])
    assert paths_of(loaded) == [str(tmp_path / "data" / "a"), str(tmp_path / "c")]
    loaded = load_recipe("data/base.yaml", ["corpus.sources=[{kind: files, paths: [d]}]"])
    assert paths_of(loaded) == [str(tmp_path / "d")]


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    words = ["corpus.sources=[{kind: files, paths: ['~/texts']}]"]
    assert paths_of(load_recipe("tiny", words)) == [str(tmp_path / "home" / "texts")]


# --- origins -----------------------------------------------------------------------------------------------------


def test_every_value_says_where_it_is_from() -> None:
    write("base.yaml", BASE)
    write("top.yaml", "extends: base.yaml\n\npretrain:\n  optimizer: {name: muon}\n  steps: 5\n")
    rows = {row.key: row for row in explain(load_recipe("top.yaml", ["pretrain.steps=7", "evaluation={windows: 3}"]))}
    assert rows["name"].origin == "base.yaml:1"
    assert rows["corpus.sources.0.code"].origin == "base.yaml:7"
    assert rows["corpus.sources.0.docstrings"].origin == "default"
    assert rows["pretrain.optimizer.name"].origin == "top.yaml:4"
    assert rows["pretrain.optimizer.learning_rate"].origin == "default"
    assert rows["sft.optimizer.learning_rate"].origin == "default"
    assert (rows["pretrain.steps"].value, rows["pretrain.steps"].origin) == ("7", "command line")
    assert rows["evaluation.windows"].origin == "command line"
    assert rows["evaluation.prompts"].origin == "default"


def test_a_replaced_list_leaves_no_origins_behind() -> None:
    write("base.yaml", BASE)
    loaded = load_recipe("base.yaml", ["corpus.sources=[{kind: python}]"])
    assert loaded.origin(("corpus", "sources", 0, "kind")) == "command line"
    assert loaded.origin(("corpus", "sources", 0, "code")) == "default"


def test_a_section_set_to_null_and_filled_again_is_not_from_the_null() -> None:
    write("base.yaml", BASE + "conversations: null\n")
    loaded = load_recipe("base.yaml", ["conversations.sources=[{kind: docstrings}]"])
    assert loaded.origin(("conversations", "limit")) == "default"
    assert loaded.origin(("conversations", "sources")) == "command line"


def test_items_of_a_plain_list_are_from_where_the_list_is() -> None:
    loaded = load_recipe("tiny", ["pretrain.optimizer.betas=[0.8, 0.9]"])
    assert loaded.origin(("pretrain", "optimizer", "betas", 1)) == "command line"


def test_every_row_has_its_line_of_help() -> None:
    for row in explain(load_recipe("quickstart")):
        assert row.help, row.key


# --- properties --------------------------------------------------------------------------------------------------


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(0, 10**6))
def test_each_override_changes_its_own_value_only(steps: int, batch: int, seed: int) -> None:
    plain = load_recipe("tiny").recipe.model_dump()
    changed = load_recipe("tiny", [f"pretrain.steps={steps}", f"seed={seed}", f"pretrain.batch_size={batch}"])
    plain["pretrain"] |= {"steps": steps, "batch_size": batch}
    assert changed.recipe.model_dump() == plain | {"seed": seed}
