"""Writing a one-dimensional `.npy` file of unknown length, piece by piece, with bounded memory.

NumPy pads the header of the format (NEP 1, version 1.0) so that the length can grow without moving the data; the
header is written for length 0 first and again, with the true length, at the end.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt


class ArrayWriter:
    """Appends to a `.npy` file; use it as a context manager. The file is whole once the block ends without an error.

    Args:
        path: the file to write.
        dtype: of the elements; written little-endian on every host.
    """

    def __init__(self, path: Path, dtype: npt.DTypeLike) -> None:
        self.dtype = np.dtype(dtype).newbyteorder("<")
        self.length = 0
        self._file = path.open("wb", buffering=2**20)
        self._write_header()
        self._data_start = self._file.tell()

    def append(self, values: npt.ArrayLike) -> None:
        """Writes more elements (shape [n]); they must fit the dtype.

        Raises:
            OverflowError: a Python integer does not fit.
        """
        array = np.asarray(values, dtype=self.dtype)
        self._file.write(array.tobytes())
        self.length += array.size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._file.seek(0)
                self._write_header()
                if self._file.tell() != self._data_start:
                    raise RuntimeError("NumPy wrote a header of another size, which would overwrite the data")
        finally:
            self._file.close()

    def _write_header(self) -> None:
        descr = np.lib.format.dtype_to_descr(self.dtype)
        header = {"descr": descr, "fortran_order": False, "shape": (self.length,)}
        np.lib.format.write_array_header_1_0(self._file, header)
