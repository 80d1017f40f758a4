"""Columnar: columns that grow block by block, in memory while they are small and in files when they are not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from lstmcast.data.counting import stretches


class Column:
    """Numbers of one type, 8 or 4 bytes each, that are only ever appended to."""

    def __init__(self, dtype: type[np.generic], *, room: int) -> None:
        self.dtype, self.size = np.dtype(dtype), 0
        # the pages of memory that are never written to are never there
        self._array: NDArray[Any] = np.empty(room, dtype)
        self._file: IO[bytes] | None = None

    @classmethod
    def kept(cls, path: Path, dtype: str) -> Column:
        """A column that was written to the file ``path`` before."""
        column = cls(np.dtype(dtype).type, room=0)
        column._array = np.memmap(path, column.dtype, mode="r")
        column.size = len(column._array)
        return column

    def close(self) -> None:
        """Nothing will be appended any more."""
        if self._file:
            self._file.close()

    @property
    def nbytes(self) -> int:
        """What the column holds in memory."""
        return 0 if self._file else self.size * self.dtype.itemsize

    def append(self, values: NDArray[Any]) -> None:
        """``values`` of the type of the column, at its end."""
        stop = self.size + len(values)
        if self._file:
            self._file.write(values.astype(self.dtype, copy=False).tobytes())
        else:
            if stop > len(self._array):
                self._array = np.concatenate([self._array[: self.size], np.empty(stop, self.dtype)])
            self._array[self.size : stop] = values
        self.size = stop

    def move_to(self, path: Path) -> None:
        """Go on in the file ``path``."""
        self._file = path.open("w+b")
        for part in stretches(self.size):
            self._file.write(self._array[part].tobytes())
        self._array = np.empty(0, self.dtype)

    def as_floats(self) -> None:
        """From whole numbers on to float64, in place."""
        array = self._mapped() if self._file else self._array
        for part in stretches(self.size):
            array[part].view(np.float64)[:] = array[part]
        if not self._file:
            self._array = array.view(np.float64)
        self.dtype = np.dtype(np.float64)

    def whole(self) -> NDArray[Any]:
        """All of it; nothing can be appended any more."""
        if self._file is None:
            return self._array[: self.size]
        array = self._mapped()
        self._file.close()
        return array

    def _mapped(self) -> NDArray[Any]:
        if self._file is None or not self.size:
            return np.empty(0, self.dtype)
        self._file.flush()
        return np.memmap(self._file, self.dtype, mode="r+", shape=(self.size,))


class Texts:
    """Distinct texts, each with a number by which it is known, in order of first appearance."""

    def __init__(self, known: Sequence[str] = ()) -> None:
        self._place = {text: place for place, text in enumerate(known)}

    def numbers(self, texts: Iterable[str]) -> NDArray[np.int32]:
        """The number of each text; new ones are taken in."""
        place = self._place
        return np.fromiter((place.setdefault(text, len(place)) for text in texts), np.int32)

    def place(self, text: str) -> int | None:
        """The number of a text, if it was seen."""
        return self._place.get(text)

    def all(self) -> list[str]:
        """Every text, by its number."""
        return list(self._place)
