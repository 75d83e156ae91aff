"""The datasets known by a short name: where each lies on the hub, which files make up a subset, where the text is.

Layouts are those of the repositories in November 2026. What the presets do not name is found out: any OWNER/NAME with
parquet or JSON-lines files is read by what its card says about its subsets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lumilab.corpus.hub.api import HubFile, Revision, nearest
from lumilab.corpus.readers.formats import JSON_LINES, PARQUET, format_of
from lumilab.errors import ConfigError, InputError


@dataclass(frozen=True)
class Preset:
    """A dataset with a short name.

    Attributes:
        repository: OWNER/NAME on the hub.
        about: one line for the list.
        licence: under which its publishers give it away.
        subset: the usual one.
        subsets: patterns of the files of each named subset; `*` stands for anything but "/", `**` also for that.
        any_subset: pattern for every other name, which takes the place of `{subset}`; None if there are no others.
        examples: of such names, for the list.
        text_field: the column with the text.
        trial: files for `--test` where the subset's own are too large; empty for the smallest of its own.
    """

    repository: str
    about: str
    licence: str
    subset: str
    subsets: Mapping[str, str] = field(default_factory=dict)
    any_subset: str | None = None
    examples: str = ""
    text_field: str = "text"
    trial: tuple[str, ...] = ()


FINEWEB_SAMPLES = {f"sample-{size}": f"sample/{size}/*.parquet" for size in ("10BT", "100BT", "350BT")}

PRESETS: Mapping[str, Preset] = {
    "fineweb": Preset(
        "HuggingFaceFW/fineweb",
        "English web pages of Common Crawl, filtered",
        "ODC-By 1.0",
        "sample-10BT",
        {**FINEWEB_SAMPLES, "all": "data/*/*.parquet"},
        "data/{subset}/*.parquet",
        "CC-MAIN-2024-51 and the other dumps",
    ),
    "fineweb-edu": Preset(
        "HuggingFaceFW/fineweb-edu",
        "the pages of FineWeb that a classifier finds educational",
        "ODC-By 1.0",
        "sample-10BT",
        {**FINEWEB_SAMPLES, "all": "data/*/*.parquet"},
        "data/{subset}/*.parquet",
        "CC-MAIN-2024-51 and the other dumps",
    ),
    "wikipedia": Preset(
        "wikimedia/wikipedia",
        "Wikipedia's articles as plain text",
        "CC BY-SA 3.0 and GFDL",
        "20231101.en",
        any_subset="{subset}/*.parquet",
        examples="20231101.de and the other languages",
    ),
    "c4": Preset(
        "allenai/c4",
        "web pages of April 2019, cleaned",
        "ODC-By 1.0",
        "en",
        {
            **{name: f"{name}/c4-train.*.json.gz" for name in ("en", "en.noblocklist", "en.noclean", "realnewslike")},
            "multilingual": "multilingual/c4-*.tfrecord-*.json.gz",
        },
        "multilingual/c4-{subset}.tfrecord-*.json.gz",
        "de and the other languages of mC4",
        trial=("{subset}/c4-validation.*.json.gz",),
    ),
    "openwebtext": Preset(
        "Skylion007/openwebtext",
        "web pages that Reddit linked to",
        "CC0 1.0 (the collection)",
        "plain_text",
        {"plain_text": "plain_text/*.parquet"},
    ),
    "gutenberg": Preset(
        "manu/project_gutenberg",
        "books of Project Gutenberg",
        "public domain in the USA; Project Gutenberg's terms",
        "en",
        any_subset="data/{subset}-*.parquet",
        examples="de, fr and the other languages",
    ),
    "pile": Preset(
        "monology/pile-uncopyrighted",
        "The Pile without its copyrighted parts",
        "as its sources; see its page",
        "train",
        {"train": "train/*.jsonl.zst", "validation": "val.jsonl.zst", "test": "test.jsonl.zst"},
        trial=("val.jsonl.zst", "test.jsonl.zst"),
    ),
    "cci4-cot": Preset(
        "BAAI/CCI4.0-M2-CoT-v1",
        "CCI4.0-CoT: synthesised chains of thought, English and Chinese; gated",
        "Apache 2.0; its conditions have to be accepted",
        "all",
        {"all": "**"},
        "**cot_synthesis_{subset}**",
        "math, code, arxiv, wiki, CC, each also with -low, -mid or -high",
    ),
}


def find(dataset: str) -> tuple[str, Preset | None]:
    """The repository that a name of a preset or an OWNER/NAME means, and its preset.

    Raises:
        ConfigError: it is neither.
    """
    preset = PRESETS.get(dataset.lower())
    if preset is None:
        preset = next((each for each in PRESETS.values() if each.repository.lower() == dataset.lower()), None)
    if preset is not None:
        return preset.repository, preset
    if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", dataset, re.ASCII) or ".." in dataset:
        raise ConfigError(
            f"There is no dataset {dataset!r}",
            where="dataset",
            mend=f"known are {nearest(dataset, list(PRESETS), len(PRESETS))}; any other as OWNER/NAME.",
        )
    return dataset, None


def patterns(preset: Preset | None, subset: str | None, revision: Revision) -> tuple[str, tuple[str, ...]]:
    """The subset's name and its files' patterns.

    Raises:
        ConfigError: there is no such subset.
    """
    if preset is not None:
        name = subset or preset.subset
        pattern = preset.subsets.get(name) or (preset.any_subset and preset.any_subset.format(subset=name))
        if pattern and "/" not in name and ".." not in name:
            return name, (pattern,)
        names = list(preset.subsets)
        raise ConfigError(
            f"{preset.repository} has no subset {name!r}", where="subset", mend=f"there is {nearest(name, names)}."
        )
    configs = revision.configs
    if subset is None:
        name = "default" if "default" in configs or not configs else next(iter(configs))
        return name, configs.get(name, ("**",))
    if subset in configs:
        return subset, configs[subset]
    # Without a card, a subset is a folder, as it is to the hub's own viewer.
    return subset, (f"{subset}/**", f"data/{subset}/**")


def trial_patterns(preset: Preset | None, subset: str) -> tuple[str, ...]:
    """What `--test` takes instead of the subset's own files; empty where it takes the smallest of those."""
    return tuple(pattern.format(subset=subset) for pattern in preset.trial) if preset else ()


def choose(files: Sequence[HubFile], wanted: Sequence[str], dataset: str) -> list[HubFile]:
    """The files with rows of text that match a pattern, by name.

    Where a repository offers the same rows in two formats, parquet is taken, and of files that name their split in
    their path only those for training, so that no text is read twice and no test set is trained on.

    Raises:
        InputError: there are none.
    """
    expressions = [glob_expression(pattern) for pattern in wanted]
    found = [file for file in files if any(each.fullmatch(file.name) for each in expressions)]
    explicit = all("**" not in pattern for pattern in wanted)
    rows = [file for file in found if _has_rows(file.name, explicit) and file.size]
    if not explicit:
        rows = [file for file in rows if format_of(file.name) in PARQUET] or rows
        rows = [file for file in rows if _split(file.name) == "train"] or rows
    if not rows:
        folders = sorted({file.name.rpartition("/")[0] or file.name for file in files})
        raise InputError(
            f"{dataset} has no parquet or JSON-lines file that matches {' or '.join(wanted)}",
            where="subset",
            mend=f"it has {nearest(wanted[0], folders)}." if folders else "look at the dataset's page on the hub.",
        )
    return rows


def common_folder(wanted: Sequence[str]) -> str:
    """The folder that holds everything the patterns can match, so that no other needs to be listed."""
    fixed = {"/".join(_fixed_parts(pattern)) for pattern in wanted}
    return fixed.pop() if len(fixed) == 1 else ""


def _fixed_parts(pattern: str) -> list[str]:
    parts = pattern.split("/")[:-1]
    return parts[: next((index for index, part in enumerate(parts) if re.search(r"[*?\[]", part)), len(parts))]


def glob_expression(pattern: str) -> re.Pattern[str]:
    """A pattern of file names as the hub's cards use them: `**` for anything, `*` and `?` not for a slash, `[...]`."""
    known = {"**": ".*", "**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    tokens = re.findall(r"\*\*/?|\*|\?|\[[^\]]+\]|.", pattern, re.DOTALL)
    try:
        return re.compile("".join(known.get(token) or _set_or_letter(token) for token in tokens), re.DOTALL)
    except re.error:  # such as [z-a]
        return re.compile(re.escape(pattern))


def _set_or_letter(token: str) -> str:
    if len(token) == 1:
        return re.escape(token)
    letters = token[1:-1].replace("\\", r"\\").replace("[", r"\[")
    return f"[^{letters[1:]}]" if letters.startswith("!") else f"[{letters.replace('^', chr(92) + '^')}]"


def _has_rows(name: str, explicit: bool) -> bool:
    kind = format_of(name)
    # A plain .json among all the files of a repository is as likely a description; named, or compressed, it is data.
    return kind in PARQUET + JSON_LINES or (kind == ".json" and (explicit or not name.endswith(".json")))


def _split(name: str) -> str | None:
    words = re.split(r"[^a-z]+", name.lower())
    return "train" if "train" in words or "training" in words else None
