"""One file from the hub to the disk, so that a file under its final name is always the whole, right file.

Bytes go to `NAME.part` as they arrive. `NAME.part.note` says which content they are the beginning of, so that after a
kill the transfer goes on behind the last byte written, and begins anew when the file has changed on the hub. The final
name is given by a rename, after size and hash were compared and the bytes are on the disk. What was fetched in several
sittings is read again from the disk to hash it, never from the network.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lumilab.artifact import write_atomically
from lumilab.corpus.hub.api import Hub, HubFile
from lumilab.corpus.hub.connection import Answer, Cut, Refused
from lumilab.corpus.hub.persistence import Attempts, explain_refusal
from lumilab.errors import DamageError, InputError, LumiError, explain_os_error

READ_BYTES = 1 << 20
CHANCES = 2  # a wrong hash can be a bad line once


class _Hash(Protocol):
    def update(self, data: bytes | bytearray, /) -> None: ...
    def hexdigest(self) -> str: ...


class Checksum:
    """Hashes a file's content in the two ways the hub knows: SHA-256, and for small files git's name of the blob."""

    def __init__(self, file: HubFile) -> None:
        self._file = file
        self._sha256: _Hash = hashlib.sha256()
        self._blob: _Hash | None = None
        if file.sha256 is None:
            self._blob = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
        self.size = 0

    def update(self, data: bytes | bytearray) -> None:
        self.size += len(data)
        self._sha256.update(data)
        if self._blob is not None:
            self._blob.update(data)

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    def matches(self) -> bool:
        """Whether size and hash are those that the hub lists."""
        found = self._blob.hexdigest() if self._blob is not None else self.sha256
        return self.size == self._file.size and found == self._file.identity


def checksum_of(path: Path, file: HubFile, check: Callable[[], None]) -> Checksum:
    """Hashes a file on the disk; `check` is called between pieces."""
    checksum = Checksum(file)
    with path.open("rb") as stream:
        while data := stream.read(READ_BYTES):
            checksum.update(data)
            check()
    return checksum


@dataclass
class Transfer:
    """Fetches one file.

    Attributes:
        hub: where from.
        dataset: OWNER/NAME.
        commit: of the dataset.
        file: what the tree endpoint says of it.
        folder: the file is put below it, under its own path.
        report: called with the size of each piece that arrives; negative when bytes had to be thrown away.
    """

    hub: Hub
    dataset: str
    commit: str
    file: HubFile
    folder: Path
    report: Callable[[int], None]

    @property
    def target(self) -> Path:
        return self.folder / self.file.name

    @property
    def part(self) -> Path:
        return part_path(self.target)

    def run(self) -> str:
        """Fetches the rest of the file and gives it its final name; returns its SHA-256.

        Raises:
            DamageError: what arrives is not what the hub lists, twice.
            InputError: the file may not be read, or is gone.
            ResourceError: the hub cannot be reached, or the disk is full.
            Interrupted: a stop was asked for; what has arrived stays.
        """
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            for _ in range(CHANCES):
                checksum = self._receive()
                if checksum is not None and checksum.matches():
                    self._publish()
                    return checksum.sha256
                self._discard(checksum)
                self.hub.manners.say(f"{self.file.name}: what arrived is not what the hub lists; it was thrown away.")
        except OSError as error:
            error.filename = error.filename or str(self.part)
            raise explain_os_error(error) from error
        raise DamageError(
            f"The hub sent something else than it lists, {CHANCES} times: size or hash differs",
            where=self.hub.address(self.dataset, self.commit, self.file.name),
            mend="try again later; if it stays so, the file on the hub or a cache on the way is damaged.",
        )

    # --- inside ------------------------------------------------------------------------------------------------------

    def _receive(self) -> Checksum | None:
        """Fetches what is missing; None when the server's file has another size."""
        checksum = self._resume()
        url = self.hub.address(self.dataset, self.commit, self.file.name)
        attempts = Attempts(self.hub.manners, self.file.name, url, self._explain)
        with self.part.open("ab") as out:
            while checksum.size < self.file.size:
                try:
                    # Always asked for anew at the hub: the address of the storage behind it is signed and expires.
                    with self.hub.open(url, self._range(checksum.size)) as answer:
                        first, size = answer.span()
                        if size not in (None, self.file.size) or first not in (0, checksum.size):
                            return None
                        if first != checksum.size:  # the file has changed, or ranges are not served: all of it comes
                            self.report(-checksum.size)
                            out.truncate(0)
                            checksum = Checksum(self.file)
                        self._note(answer)
                        for piece in answer.pieces():
                            out.write(piece)
                            out.flush()  # a kill loses nothing that has arrived
                            checksum.update(piece)
                            self.report(len(piece))
                            attempts.progressed(len(piece))
                            self.hub.manners.stop.check()
                            if checksum.size > self.file.size:
                                return None
                except (Refused, Cut) as error:
                    attempts.failed(error)
            os.fsync(out.fileno())
        return checksum

    def _resume(self) -> Checksum:
        """Hashes what an earlier run left of the same content; anything else is removed."""
        if bytes_there(self.folder, self.file):
            return checksum_of(self.part, self.file, self.hub.manners.stop.check)
        self._remove()
        return Checksum(self.file)

    def _range(self, position: int) -> dict[str, str]:
        headers = {"Accept-Encoding": "identity"}
        if position:
            headers["Range"] = f"bytes={position}-"
            if etag := read_note(self.part).get("etag"):
                headers["If-Range"] = etag  # RFC 9110, section 13.1.5: the whole file comes if it is another one
        return headers

    def _note(self, answer: Answer) -> None:
        etag = answer.headers.get("ETag", "")
        # A weak one does not vouch for every byte and may not be used for ranges.
        note = {"identity": self.file.identity, "etag": etag if etag.startswith('"') else None}
        if note != read_note(self.part):
            write_atomically(note_path(self.part), json.dumps(note).encode())

    def _publish(self) -> None:
        self.part.replace(self.target)
        note_path(self.part).unlink(missing_ok=True)
        if os.name != "nt":  # the new name itself must survive a power cut; Windows has its own journal
            descriptor = os.open(self.target.parent, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _discard(self, checksum: Checksum | None) -> None:
        self.report(-(checksum.size if checksum else self.part.stat().st_size))
        self._remove()

    def _remove(self) -> None:
        self.part.unlink(missing_ok=True)
        note_path(self.part).unlink(missing_ok=True)

    def _explain(self, error: Refused) -> LumiError:
        if error.status in (404, 410):
            return InputError(
                f"{self.dataset} has no file {self.file.name!r} any more",
                where=error.url,
                mend="run the same command again, so that the list of files is fetched anew.",
            )
        return explain_refusal(error, self.dataset)


def bytes_there(folder: Path, file: HubFile) -> int:
    """How many bytes of this very content an earlier run left, so that they need not be fetched again."""
    part = part_path(folder / file.name)
    if read_note(part).get("identity") != file.identity or not part.is_file():
        return 0
    size = part.stat().st_size
    return size if size <= file.size else 0


def read_note(part: Path) -> dict[str, str | None]:
    """What is known of a file's collected bytes; empty when nothing is."""
    try:
        note = json.loads(note_path(part).read_bytes())
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def part_path(target: Path) -> Path:
    """Where a file's bytes are collected."""
    return target.with_name(f"{target.name}.part")


def note_path(part: Path) -> Path:
    """Where it is said what those bytes are the beginning of."""
    return part.with_name(f"{part.name}.note")
