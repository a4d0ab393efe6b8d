"""Reading ``.npz`` archives: plain arrays only, sizes checked before anything is made."""

from __future__ import annotations

import ast
import re
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from morphkit.archive.layouts._columns import shown
from morphkit.archive.source import ModelSource

MAX_RATIO = 200
"""How many times larger than the file its arrays may be together, small ones apart."""
_SMALL = 16 << 20
_PLAIN = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248]|[SU][1-9][0-9]{0,8})")
_HEADER = 1 << 16
_PIECE = 1 << 20


class Arrays:
    """The arrays of one open archive; every error names the file.

    Parameters
    ----------
    source : the file, for messages.
    archive : open for reading.

    Raises
    ------
    BadInputError
        If the archive claims to unpack to far more than its size allows.
    """

    def __init__(self, source: ModelSource, archive: zipfile.ZipFile) -> None:
        self.source = source
        self._archive = archive
        self._members = {i.filename.removesuffix(".npy"): i for i in archive.infolist()}
        total = sum(member.file_size for member in self._members.values())
        if total > MAX_RATIO * source.size + _SMALL:
            raise source.bad(f"it claims to unpack to {total} bytes, too much for a file of {source.size}")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the arrays."""
        return tuple(self._members)

    def __contains__(self, name: str) -> bool:
        """Whether there is an array of that name."""
        return name in self._members

    def array(self, name: str) -> np.ndarray:
        """Return an array; it holds numbers, booleans or text, never objects.

        Raises
        ------
        BadInputError
            If it is missing, an object array (which only unpickling, and so running code, could read), or
            its header lies about its size.
        """
        if name not in self._members:
            raise self.source.bad(f"{name} is missing; it holds {shown(*self._members)}")
        member = self._members[name]
        with self._archive.open(member) as file:
            dtype, fortran, shape, start = self._header(file, name)
            count = int(np.prod([int(n) for n in shape], dtype=object))
            if start + count * dtype.itemsize != member.file_size:
                raise self.source.bad(
                    f"{name} claims {count} times {dtype}, but has {member.file_size - start} bytes"
                )
            flat = np.empty(count, dtype)
            self._fill(file, flat, name)
        return flat.reshape(shape, order="F" if fortran else "C")

    def shape(self, name: str) -> tuple[int, ...]:
        """Return an array's shape without reading it."""
        with self._archive.open(self._members[name]) as file:
            return self._header(file, name)[2]

    def texts(self, name: str) -> tuple[str, ...]:
        """Return an array of text."""
        array = self.array(name)
        if array.dtype.kind not in "SU":
            raise self.source.bad(f"{name} holds {array.dtype}, not text")
        values = array.reshape(-1).tolist()
        encoded = (v if isinstance(v, bytes) else v.encode("utf-8", "replace") for v in values)
        return tuple(v.decode("utf-8", "replace") for v in encoded)  # what cannot be printed is replaced

    def number(self, name: str, default: float) -> float:
        """Return a single number, or the default where there is none of that name."""
        if name not in self._members:
            return default
        array = self.array(name)
        if array.size != 1 or array.dtype.kind not in "fiub" or not np.isfinite(array).all():
            raise self.source.bad(f"{name} is not a single number")
        return float(array.reshape(-1)[0])

    def _header(self, file: Any, name: str) -> tuple[np.dtype, bool, tuple[int, ...], int]:
        """Return dtype, order, shape and length of the header of a ``.npy`` member."""
        start = file.read(8)
        if len(start) < 8 or start[:6] != b"\x93NUMPY" or start[6] not in (1, 2, 3):
            raise self.source.bad(f"{name} is no numpy array")
        form = "<H" if start[6] == 1 else "<I"
        (length,) = struct.unpack(form, file.read(struct.calcsize(form)))
        if length > _HEADER:
            raise self.source.bad(f"{name} has a header of {length} bytes: it is damaged")
        try:
            # Python 2 wrote long integers with an L
            text = re.sub(r"(?<=\d)L\b", "", file.read(length).decode("latin-1").strip())
            fields = ast.literal_eval(text)
            descr, fortran, shape = fields["descr"], fields["fortran_order"], fields["shape"]
        except (SyntaxError, ValueError, TypeError, KeyError, MemoryError, RecursionError) as error:
            raise self.source.bad(f"{name} has an unreadable header: it is damaged") from error
        if not isinstance(descr, str) or not _PLAIN.fullmatch(descr):
            raise self.source.bad(
                f"{name} holds {shown(str(descr))}, not plain numbers or text: objects would have to be "
                "unpickled, which could run code; save plain arrays"
            )
        if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
            raise self.source.bad(f"{name} has an unreadable shape: it is damaged")
        return np.dtype(descr), bool(fortran), shape, 8 + struct.calcsize(form) + length

    def _fill(self, file: Any, flat: np.ndarray, name: str) -> None:
        """Read an array piece by piece; the last read checks the archive's checksum."""
        room = memoryview(flat.view(np.uint8))  # type: ignore[arg-type]
        at = 0
        while piece := file.read(_PIECE):
            room[at : at + len(piece)] = piece
            at += len(piece)
        if at != len(room):
            raise self.source.bad(f"{name} ends too early: the file is truncated")


@contextmanager
def open_arrays(source: ModelSource) -> Iterator[Arrays]:
    """Open an ``.npz`` archive."""
    with zipfile.ZipFile(source.path) as archive:
        yield Arrays(source, archive)
