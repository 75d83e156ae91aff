"""A file of the hub, read as if it were here: any place of it, in bounded memory, through cut connections.

Bytes are fetched in blocks with range requests, and the newest blocks are kept: a parquet reader jumps between the
columns of a row group, so one block for each of them has to stay. The signed address that the hub redirects to is
used again until it expires, because the hub counts the requests it is asked, and a dataset takes thousands.
"""

from __future__ import annotations

import io
import os
from collections import OrderedDict
from typing import TYPE_CHECKING

from lumilab.corpus.hub.api import Hub, HubFile
from lumilab.corpus.hub.connection import Cut, Refused
from lumilab.corpus.hub.persistence import Attempts, explain_refusal
from lumilab.corpus.hub.transfer import Checksum
from lumilab.errors import DamageError, InputError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK_BYTES = 4 << 20
BLOCKS = 12
EXPIRED = (401, 403, 404, 410)


class RemoteStream(io.RawIOBase):
    """A readable, seekable binary stream. Memory: `blocks` times BLOCK_BYTES.

    Args:
        hub: where from.
        dataset: OWNER/NAME.
        commit: of the dataset, so that the content cannot change.
        file: what the tree endpoint says of it.
        whole: it will be read from beginning to end, so its hash is compared when its last byte was fetched, and one
            block is enough.

    Raises (when read):
        DamageError: what arrives is not what the hub lists.
        InputError: the file may not be read, or not from the middle.
        ResourceError: the hub cannot be reached.
        Interrupted: a stop was asked for.
    """

    def __init__(self, hub: Hub, dataset: str, commit: str, file: HubFile, *, whole: bool = False) -> None:
        self._hub = hub
        self._dataset = dataset
        self._file = file
        self._home = hub.address(dataset, commit, file.name)
        self._address = self._home
        self._kept = 1 if whole else BLOCKS
        self._blocks: OrderedDict[int, bytearray] = OrderedDict()
        self._checksum = Checksum(file) if whole else None
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._file.size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        target = memoryview(buffer).cast("B")
        count = 0
        # All that is asked for, over several blocks: readers of parquet take less for the end of the file.
        while count < len(target) and self._position < self._file.size:
            number, offset = divmod(self._position, BLOCK_BYTES)
            piece = memoryview(self._block(number))[offset : offset + len(target) - count]
            target[count : count + len(piece)] = piece
            count += len(piece)
            self._position += len(piece)
        return count

    def _block(self, number: int) -> bytearray:
        if number not in self._blocks:
            while len(self._blocks) >= self._kept:  # first, so that there is never one more
                self._blocks.popitem(last=False)
            first = number * BLOCK_BYTES
            block = self._fetch(first, min(first + BLOCK_BYTES, self._file.size))
            if self._checksum is not None and self._checksum.size == first:
                self._checksum.update(block)
                if self._checksum.size == self._file.size and not self._checksum.matches():
                    raise self._damage("hash")
            self._blocks[number] = block
        self._blocks.move_to_end(number)
        return self._blocks[number]

    def _fetch(self, first: int, end: int) -> bytearray:
        """Bytes `first` to `end` - 1, over as many connections as it takes."""
        attempts = Attempts(
            self._hub.manners, self._file.name, self._home, lambda refused: explain_refusal(refused, self._dataset)
        )
        block = bytearray()
        while len(block) < end - first:
            here = first + len(block)
            try:
                headers = {"Range": f"bytes={here}-{end - 1}", "Accept-Encoding": "identity"}
                with self._hub.open(self._address, headers) as answer:
                    start, size = answer.span()
                    if size not in (None, self._file.size):
                        raise self._damage("size")
                    if start != here:
                        raise self._no_ranges()
                    self._address = answer.url
                    for piece in answer.pieces():
                        block += piece
                        attempts.progressed(len(piece))
                        self._hub.manners.stop.check()
                        if len(block) >= end - first:
                            break
            except (Refused, Cut) as error:
                expired = isinstance(error, Refused) and error.status in EXPIRED and self._address != self._home
                self._address = self._home
                if not expired:
                    attempts.failed(error)
        del block[end - first :]
        return block

    def _no_ranges(self) -> InputError:
        return InputError(
            "The server sends whole files only, so this dataset cannot be streamed",
            where=self._home,
            mend="get it with `lumi corpus download` and name its `folder` in the recipe.",
        )

    def _damage(self, what: str) -> DamageError:
        return DamageError(
            f"The hub sent something else than it lists: the {what} differs",
            where=self._home,
            mend="run the same command again; if it stays so, the file on the hub or a cache on the way is damaged.",
        )
