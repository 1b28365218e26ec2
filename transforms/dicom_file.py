"""The file that pydicom reads from."""

from __future__ import annotations

import io
import os

LARGE = 2**16


class BoundedFile(io.BufferedReader):
    """A file that sets no more memory aside than it has bytes left, whatever length an element claims.

    Python sets aside what a read asks for before it reads: a file of 200 bytes could ask for 4 GiB.

    Args:
        path: the file.
    """

    def __init__(self, path: str) -> None:
        super().__init__(io.FileIO(path))

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to ``size`` bytes, or all."""
        if size is not None and size > LARGE:
            size = max(0, min(size, os.fstat(self.fileno()).st_size - self.tell()))
        return super().read(size)
