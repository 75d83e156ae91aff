"""A tokenizer's files from the hub, kept in a folder of the user's cache so that they are fetched once.

A repository of a model has much besides; only what a tokenizer is made of is fetched. The folder is named by the
commit, and a note says which commit a branch or tag stood for, so that work goes on where there is no network.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lumilab.artifact import write_atomically
from lumilab.corpus.hub.api import Hub, HubFile
from lumilab.corpus.hub.persistence import Manners, Patience
from lumilab.corpus.hub.transfer import Transfer
from lumilab.errors import ConfigError, InputError, ResourceError
from lumilab.work.context import WorkContext
from lumilab.work.lock import exclusive

CONFIGURATION = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
WANTED = (
    ("tokenizer.json",),
    ("tokenizer.model",),
    ("spiece.model",),
    ("sentencepiece.bpe.model",),
    ("vocab.json", "merges.txt"),
    ("encoder.json", "vocab.bpe"),
    ("qwen.tiktoken",),
)
"""The files that make a tokenizer, the most telling first."""


Choice = Callable[[list[HubFile], str], list[HubFile]]


@dataclass(frozen=True)
class HubPreset:
    """A tokenizer with a short name, and what is known of it.

    Attributes:
        repository: OWNER/NAME on the hub.
        vocabulary_size: of its own tokens.
        ids: of some of them.
    """

    repository: str
    vocabulary_size: int
    ids: Mapping[str, int] = field(default_factory=dict)


PRESETS: Mapping[str, HubPreset] = {
    "codellama": HubPreset("codellama/CodeLlama-7b-hf", 32_016, {"<unk>": 0, "<s>": 1, "</s>": 2}),
}


def fetch(name: str, revision: str, context: WorkContext, patience: Patience | None = None) -> Path:
    """The folder with a tokenizer's files, fetched unless they are there.

    Args:
        name: of a preset, or OWNER/NAME.
        revision: branch, tag or commit.
        context: progress and stopping.
        patience: with the hub.

    Raises:
        ConfigError: the name is neither.
        InputError: the hub has no such repository or revision, or no tokenizer in it, or it may not be read.
        ResourceError: the hub cannot be reached, and the files were not fetched before.
    """
    repository = PRESETS[name].repository if name in PRESETS else name
    if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", repository, re.ASCII) or ".." in repository:
        raise ConfigError(
            f"There is no tokenizer {name!r}",
            where="tokenizer.hub",
            mend=f"known are {', '.join(PRESETS)}; any other as OWNER/NAME.",
        )
    return fetch_chosen(repository, revision, choose, cache_folder("tokenizers"), context, patience)


def fetch_chosen(
    repository: str, revision: str, choose: Choice, cache: Path, context: WorkContext, patience: Patience | None = None
) -> Path:
    """The folder in `cache` with chosen files of a model's repository, fetched unless they are there.

    Args:
        repository: OWNER/NAME.
        revision, context, patience: as for `fetch`.
        choose: of all files of the repository; its second argument is the repository, for messages.
        cache: holds a folder for each repository.

    Raises:
        InputError: the hub has no such repository or revision, `choose` finds nothing, or it may not be read.
        ResourceError: the hub cannot be reached, and the files were not fetched before.
    """
    folder = cache / repository.replace("/", "--")
    note = folder / "revisions" / f"{revision.replace('/', '--')}.txt"
    hub = Hub(Manners(patience, context.stop, context.report.say), kind="models")
    try:
        commit = hub.revision(repository, revision).commit
    except ResourceError:
        if not note.is_file():
            raise
        commit = note.read_text().strip()
        context.report.say(f"The hub cannot be reached; {repository} is taken as it was fetched before.")
        return folder / commit
    target = folder / commit
    with exclusive(target, context):
        wanted = choose(hub.files(repository, commit), repository)
        missing = [file for file in wanted if not (target / file.name).is_file()]
        size = sum(file.size for file in missing)
        with context.report.task(f"Fetching {repository}", total=size, unit="bytes", worth_a_line=2.0) as progress:
            for file in missing:
                Transfer(hub, repository, commit, file, target, progress.advance).run()
    write_atomically(note, commit.encode())
    return target


def choose(files: list[HubFile], repository: str) -> list[HubFile]:
    """The files of a repository that make its tokenizer, and those that describe it.

    Raises:
        InputError: there are none.
    """
    there = {file.name: file for file in files}
    names = next((names for names in WANTED if there.keys() >= set(names)), None)
    if names is None:
        raise InputError(
            f"{repository} has no tokenizer: none of {', '.join('+'.join(names) for names in WANTED)}",
            where="tokenizer.hub",
            mend="name the repository of a model whose files include its tokenizer.",
        )
    return [there[name] for name in (*names, *CONFIGURATION) if name in there]


def cache_folder(kind: str) -> Path:
    """Where fetched files of a kind are kept, for all the user's projects."""
    personal = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(personal) / "lumilab" / kind
