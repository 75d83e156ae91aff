"""Documents that lie somewhere: a corpus that was built, or files of text, read the same way by who looks at them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from lumilab.artifact import Artifact
from lumilab.artifact.manifest import FILE_NAME
from lumilab.corpus.compression import SUFFIXES
from lumilab.corpus.document import BadRecord, Document
from lumilab.corpus.readers import formats
from lumilab.corpus.readers.documents import DocumentReader
from lumilab.corpus.shards import FOLDER, read_documents
from lumilab.corpus.sources.finding import find_files
from lumilab.corpus.sources.source import RawPath
from lumilab.errors import InputError

_MEND = f"readable are {', '.join(formats.READABLE)}, also with {', '.join(SUFFIXES)} behind."


@dataclass(frozen=True)
class Collection:
    """Where documents lie.

    Attributes:
        path: what was asked for.
        artifact: the corpus; None for files.
        files: what is read where it is no corpus.
        stored: bytes on disk that hold the documents.
    """

    path: Path
    artifact: Artifact | None
    files: tuple[RawPath, ...]
    stored: int

    def documents(self) -> Iterator[Document | BadRecord]:
        """The documents in their order, and what could not be read; one pass, bounded memory.

        Of plain files a row's own field `source`, where it is a string, is the document's source: rows that came out
        of a corpus keep theirs.

        Raises:
            DamageError: a shard of a corpus cannot be read.
        """
        if self.artifact is not None:
            yield from read_documents(self.artifact)
            return
        reader = DocumentReader(self.path.name, "text")
        for file in self.files:
            with file.path.open("rb") as stream:
                for record in reader.read(stream, file.root, file.name):
                    if isinstance(record, Document):
                        source = record.meta.get("source")
                        yield replace(record, source=source) if isinstance(source, str) else record
                    elif isinstance(record, BadRecord):
                        yield record


def open_collection(path: Path) -> Collection:
    """A corpus's folder, a folder of files, or one file.

    Raises:
        InputError: there is nothing, or nothing that can be read as text.
        MismatchError: an artifact of another kind.
        DamageError: the corpus is not what was published.
    """
    path = path.absolute()
    if (path / FILE_NAME).is_file():
        artifact = Artifact.open(path, kind="corpus")
        sizes = [record.size for name, record in artifact.manifest.files.items() if name.startswith(f"{FOLDER}/")]
        return Collection(path, artifact, (), sum(sizes))
    if not path.exists():
        raise InputError(
            "There is no such file or folder",
            where=str(path),
            mend="give a corpus, a run, or a file or folder of texts (.jsonl, .jsonl.zst, .txt ...).",
        )
    files = find_files(path.name, [str(path)], _is_readable, _MEND)
    return Collection(path, None, tuple(files), sum(file.path.stat().st_size for file in files))


def open_corpus(path: Path) -> Collection:
    """A corpus that was built.

    Raises:
        InputError: there is none.
        MismatchError: an artifact of another kind.
        DamageError: it is not what was published.
    """
    Artifact.open(path, kind="corpus")
    return open_collection(path)


def _is_readable(name: str) -> bool:
    return formats.format_of(name) is not None
