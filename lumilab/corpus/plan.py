"""What a build will read: the configured sources, their raw files, and how they are cut into tasks."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lumilab.artifact import RawFile
from lumilab.corpus.readers import formats
from lumilab.corpus.reading import ReadOrder, filters_anything
from lumilab.corpus.sources.finding import path_names
from lumilab.corpus.sources.local_files import LocalFiles
from lumilab.corpus.sources.python_installation import interpreter
from lumilab.corpus.sources.python_library import PythonLibrary
from lumilab.corpus.sources.source import Part, RawPath, RemoteSource, Source, inventory
from lumilab.errors import ConfigError
from lumilab.recipe.corpus import (
    CorpusConfig,
    FilesSource,
    HubSource,
    PythonSource,
    WebSource,
    WikipediaSource,
)
from lumilab.recipe.section import identity


def corpus_identity(config: CorpusConfig) -> dict[str, Any]:
    """What decides about the content besides the raw files: the configuration without absolute paths and, where the
    interpreter itself is a source, which one it is. Goes into the digest and into the stage's key."""
    values = identity(config)
    for section, source in zip(values["sources"], config.sources, strict=True):
        if isinstance(source, FilesSource | WikipediaSource | WebSource):
            section["paths"] = path_names(source.paths)
    if config.decontamination is not None:
        values["decontamination"]["paths"] = path_names(config.decontamination.paths)
    if config.filters.language is not None and config.filters.language.model_file is not None:
        values["filters"]["language"]["model_file"] = Path(config.filters.language.model_file).name
    if any(isinstance(source, PythonSource) for source in config.sources):
        values["interpreter"] = interpreter()
    return values


def raw_inventory(config: CorpusConfig) -> tuple[list[RawFile], dict[str, Path | str]]:
    """Every raw file with its hash, and where each root is; reads all that are on this machine.

    Raises:
        InputError: a configured path does not exist or holds nothing readable.
        ConfigError: two sources have one name.
    """
    return inventory_of(config, open_sources(config))


def inventory_of(config: CorpusConfig, sources: Sequence[Source]) -> tuple[list[RawFile], dict[str, Path | str]]:
    """The same for sources that are open. Of a dataset that is streamed, the hub tells the hashes."""
    files, folders = inventory(raw_paths(config, sources))
    roots: dict[str, Path | str] = dict(folders)
    for source in sources:
        if isinstance(source, RemoteSource) and source.name not in roots:
            files += source.raw_files()
            roots[source.name] = source.origin
    return files, roots


def open_sources(config: CorpusConfig) -> list[Source]:
    """The configured sources, with their raw files found.

    Raises:
        InputError: a configured path does not exist or holds nothing readable.
        ConfigError: two sources have one name, so that their documents could not be told apart, or a library is
            missing.
    """
    _check_libraries(config)
    sources = [_open(section) for section in config.sources]
    names = [name for source in sources for name in {source.name} | {file.root for file in source.raw_paths()}]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(
            f"Two corpus sources are called {twice[0]!r}",
            where="corpus.sources",
            mend="give each source a `name` of its own.",
        )
    return sources


def _open(section: FilesSource | HubSource | PythonSource | WebSource | WikipediaSource) -> Source:
    """The source of a section; what reads it is imported only where it is asked for."""
    match section:
        case FilesSource():
            return LocalFiles(section)
        case PythonSource():
            return PythonLibrary(section)
        case WikipediaSource():
            from lumilab.corpus.sources.wikipedia import Wikipedia

            return Wikipedia(section)
        case WebSource():
            from lumilab.corpus.sources.web import WebPages

            return WebPages(section)
        case HubSource():
            from lumilab.corpus.sources.hub_dataset import HubDataset

            return HubDataset(section)


def raw_paths(config: CorpusConfig, sources: Sequence[Source]) -> list[RawPath]:
    """Every raw file on this machine: of the sources, a language model, the evaluation sets that are kept out.

    Raises:
        InputError: the evaluation sets are not there.
        ConfigError: a library is missing that reads a kind of file among them.
    """
    paths = [file for source in sources for file in source.raw_paths()]
    if config.filters.language is not None and config.filters.language.model_file is not None:
        model = Path(config.filters.language.model_file).absolute()
        paths.append(RawPath("language model", model.parent, model.name))
    if config.decontamination is not None:
        from lumilab.corpus.evaluation_sets import evaluation_files

        paths += evaluation_files(config.decontamination)
    _check_formats(paths)
    return paths


def plan_reading(config: CorpusConfig, sources: Sequence[Source], contamination: Path | None) -> list[ReadOrder]:
    """One order for each task, in reading order.

    A limit counts the records of a source from its first one, whichever tasks they are in, so with a limit a source is
    one order: trials are small.
    """
    orders = []
    for source in sources:
        parts = source.parts()
        groups = [parts] if config.limit is not None else [[Part(p.name, [task])] for p in parts for task in p.tasks]
        orders += [ReadOrder(config, source.name, tuple(group), contamination) for group in groups]
    return orders


def _check_libraries(config: CorpusConfig) -> None:
    """Says at the start which libraries of the `corpus` extra this configuration needs and does not find.

    Raises:
        ConfigError: some are missing.
    """
    kinds = {section.kind for section in config.sources}
    language = config.filters.language
    _demand(
        {
            "numba": config.deduplicate == "minhash" or config.decontamination or filters_anything(config.filters),
            "lxml": "wikipedia" in kinds or "web" in kinds,
            "trafilatura": "web" in kinds,
            "resiliparse": "web" in kinds,
            "pyarrow": "hub" in kinds,
            "ftfy": config.cleaning.mojibake,
            "py3langid": language and language.model_file is None,
            "fasttext": language and language.model_file,
        }
    )


def _check_formats(files: Sequence[RawPath]) -> None:
    """The same for the kinds of files that were found."""
    kinds = {formats.format_of(file.name) for file in files}
    pages = not kinds.isdisjoint(formats.HTML)
    parquet = not kinds.isdisjoint(formats.PARQUET)
    _demand({"lxml": pages, "trafilatura": pages, "resiliparse": pages, "pyarrow": parquet})


def _demand(wanted: Mapping[str, object]) -> None:
    missing = [name for name, needed in wanted.items() if needed and importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"This corpus needs libraries that are not installed: {', '.join(missing)}",
            where="corpus",
            mend='install them with `pip install "lumilab[corpus]"`.',
        )
