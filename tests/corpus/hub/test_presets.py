from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumilab.corpus.hub.api import HubFile, Revision
from lumilab.corpus.hub.presets import PRESETS, choose, common_folder, find, glob_expression, patterns, trial_patterns
from lumilab.errors import ConfigError, InputError

# Files as the repositories have them (data.md, section 2, and the repositories' own pages).
LAYOUTS = {
    ("fineweb", None): ("sample/10BT/000_00000.parquet", "sample/10BT/014_00000.parquet"),
    ("fineweb", "sample-100BT"): ("sample/100BT/000_00000.parquet", "sample/100BT/014_00009.parquet"),
    ("fineweb", "CC-MAIN-2024-51"): ("data/CC-MAIN-2024-51/000_00000.parquet",),
    ("fineweb-edu", "sample-350BT"): ("sample/350BT/000_00000.parquet",),
    ("fineweb-edu", "CC-MAIN-2013-20"): ("data/CC-MAIN-2013-20/train-00000-of-00014.parquet",),
    ("wikipedia", None): ("20231101.en/train-00000-of-00041.parquet", "20231101.en/train-00040-of-00041.parquet"),
    ("wikipedia", "20231101.de"): ("20231101.de/train-00000-of-00020.parquet",),
    ("c4", None): ("en/c4-train.00000-of-01024.json.gz", "en/c4-train.01023-of-01024.json.gz"),
    ("c4", "de"): ("multilingual/c4-de.tfrecord-00000-of-02048.json.gz",),
    ("openwebtext", None): ("plain_text/train-00000-of-00080.parquet", "plain_text/train-00079-of-00080.parquet"),
    ("gutenberg", None): ("data/en-00000-of-00052-7cda8f63c262acf8.parquet",),
    ("gutenberg", "de"): ("data/de-00000-of-00001-8e7d7a1b.parquet",),
    ("pile", None): ("train/00.jsonl.zst", "train/29.jsonl.zst"),
    ("pile", "validation"): ("val.jsonl.zst",),
    ("cci4-cot", "math"): ("cot_synthesis_math-high/part_0000.jsonl", "data/cot_synthesis_math-low_1.parquet"),
}
OTHERS = ("README.md", ".gitattributes", "dataset_infos.json", "en/c4-validation.00000-of-00008.json.gz",
          "test.jsonl.zst", "data/CC-MAIN-2013-48/train-0.parquet", "sample/10BT/_SUCCESS",
          "20231101.ab/train-0.parquet")  # fmt: skip


def listed(*names: str) -> list[HubFile]:
    return [HubFile(name, 10, None, "0") for name in names]


@pytest.mark.parametrize(("name", "subset"), LAYOUTS)
def test_a_preset_finds_the_files_of_its_subset_and_no_others(name: str, subset: str | None) -> None:
    _, preset = find(name)
    wanted = patterns(preset, subset, Revision("0" * 40))[1]
    others = [other for other in OTHERS if other not in LAYOUTS[name, subset]]
    expected = LAYOUTS[name, subset]
    if name == "cci4-cot":  # where both formats are there, parquet is taken
        expected = expected[1:]
    found = choose(listed(*LAYOUTS[name, subset], *others), wanted, name)
    assert tuple(file.name for file in found) == expected
    assert all(file.name.startswith(common_folder(wanted)) for file in found)


def test_every_dataset_of_the_specification_has_a_short_name() -> None:
    wanted = {"fineweb", "fineweb-edu", "wikipedia", "c4", "openwebtext", "gutenberg", "pile", "cci4-cot"}
    assert set(PRESETS) == wanted
    assert all(preset.licence and preset.about for preset in PRESETS.values())
    assert find("allenai/C4") == ("allenai/c4", PRESETS["c4"])
    assert trial_patterns(PRESETS["c4"], "en") == ("en/c4-validation.*.json.gz",)


@pytest.mark.parametrize("name", ["finweb", "a/b/c", "../up", "a/../b", "https://x/y", ""])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        find(name)


def test_other_repositories_are_read_as_their_cards_say() -> None:
    card = Revision("0", {"en": ("en/*.parquet",), "de": ("de/train-*",)})
    assert patterns(None, None, card) == ("en", ("en/*.parquet",))
    assert patterns(None, "de", card) == ("de", ("de/train-*",))
    files = listed("fr/a.jsonl", "data/fr/b.jsonl", "de/train-0.parquet", "x.csv")
    wanted = patterns(None, "fr", card)[1]
    assert [file.name for file in choose(files, wanted, "o/n")] == ["fr/a.jsonl", "data/fr/b.jsonl"]
    with pytest.raises(InputError, match="matches it") as caught:
        choose(files, patterns(None, "it", card)[1][:1], "o/n")
    assert "fr" in (caught.value.mend or "")


def test_without_a_card_test_sets_and_second_formats_are_left_out() -> None:
    files = listed("train.jsonl", "test.jsonl", "data/train-0.parquet", "data/validation-0.parquet", "meta.json")
    assert [file.name for file in choose(files, ("**",), "o/n")] == ["data/train-0.parquet"]
    assert [file.name for file in choose(files[:2] + files[4:], ("**",), "o/n")] == ["train.jsonl"]
    assert [file.name for file in choose(listed("a.jsonl", "b.jsonl.gz"), ("**",), "o/n")] == ["a.jsonl", "b.jsonl.gz"]


@given(st.text("ab*?[]!.-", max_size=6), st.text("ab.-[]!", max_size=6))
def test_patterns_agree_with_fnmatch_within_a_name(pattern: str, name: str) -> None:
    if "**" not in pattern and not any(odd in pattern for odd in ("[]", "[!]", "[-", "-]")):
        assert bool(glob_expression(pattern).fullmatch(name)) == fnmatch.fnmatchcase(name, pattern)


def test_stars_stop_at_slashes_and_two_do_not() -> None:
    assert not glob_expression("a/*.x").fullmatch("a/b/c.x")
    assert glob_expression("a/**/c.x").fullmatch("a/b/d/c.x")
    assert glob_expression("a/**/c.x").fullmatch("a/c.x")
    assert glob_expression("**").fullmatch("a/b.c")
