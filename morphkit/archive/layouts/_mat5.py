"""MATLAB's level 5 files: numeric arrays and structs, by the published layout of the MAT-file format.

Own code and not scipy's, because every size that a tag claims is held against the bytes that are there before
anything is allocated, arrays come as views of what was read (a basis is not copied), and one variable is in
memory at a time. Nothing but numbers is understood: no objects, no functions, no cells.

Source: MathWorks, *MAT-File Format*, chapter 1 (level 5).
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from morphkit.archive._hdf5 import DEFLATE_RATIO, MAX_RATIO
from morphkit.archive.source import ModelSource
from morphkit.errors import BadInputError

HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_STRUCT, _OPAQUE = 2, 17
_NUMERIC_CLASSES = range(6, 16)  # double, single and the integers of 8 to 64 bits
_COMPLEX = 0x0800
_KINDS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_PIECE = 1 << 20  # compressed bytes to unpack at a time
_HEAD = 1 << 10  # bytes in which a variable's flags, shape and name must lie
_SMALL = 1 << 16  # bytes that a variable may unpack to whatever its ratio
_MOST = 100_000  # elements of one file or struct


@dataclass(frozen=True)
class _Array:
    """The start of an array element: its class, flags, shape and name, and where its contents begin."""

    kind: int
    flags: int
    shape: tuple[int, ...]
    name: str
    begin: int


@dataclass(frozen=True)
class _Place:
    """Where a variable lies in the file: after its tag."""

    begin: int
    size: int
    compressed: bool


class Mat5File:
    """The variables of a level 5 file.

    Parameters
    ----------
    source : a file that begins with the header.
    lenient : to stop where it is damaged and know the variables before; else to raise.

    Raises
    ------
    BadInputError
        If it is cut off, or its tags make no sense.
    """

    def __init__(self, source: ModelSource, *, lenient: bool = False) -> None:
        self._source = source
        self._places: dict[str, tuple[_Place, _Array]] = {}
        self._latest: tuple[str, memoryview] | None = None
        self._order = {b"IM": "<", b"MI": ">"}.get(source.start[HEADER - 2 : HEADER], "")
        if not self._order:
            raise source.bad("its header does not tell the order of bytes: it is damaged")
        with suppress(*((BadInputError, zlib.error, struct.error) if lenient else ())):
            for place, array in self._variables():
                self._places.setdefault(array.name, (place, array))

    @property
    def names(self) -> frozenset[str]:
        """The variables' names."""
        return frozenset(self._places)

    def has(self, path: str) -> bool:
        """Whether there is a variable, or a field of a struct: ``shp/mu``."""
        name, *fields = path.split("/")
        return name in self._places and (not fields or self._find(path) is not None)

    def shape(self, path: str) -> tuple[int, ...]:
        """Return an array's shape, without reading it where it is no field."""
        if "/" not in path and path in self._places:
            return self._places[path][1].shape
        return self.array(path).shape

    def array(self, path: str) -> np.ndarray:
        """Return a numeric array of MATLAB's shape, columns contiguous; a view of what was read."""
        found = self._find(path)
        if found is None:
            raise self._source.bad(f"the array {path} is missing; there is: {', '.join(sorted(self.names))}")
        view, array = found
        if array.kind not in _NUMERIC_CLASSES or array.flags & _COMPLEX:
            raise self._source.bad(f"{path} is no array of real numbers")
        kind, data = self._element(view, array.begin)[:2]
        if kind not in _KINDS:
            raise self._source.bad(f"{path} holds elements of an unknown type ({kind})")
        values = np.frombuffer(data, np.dtype(self._order + _KINDS[kind]))
        if values.size != math.prod(array.shape):
            raise self._source.bad(f"{path} has {values.size} numbers for the shape {array.shape}")
        native: np.ndarray = values.astype(values.dtype.newbyteorder("="), copy=False)
        return native.reshape(array.shape, order="F")

    # --- finding ---

    def _find(self, path: str) -> tuple[memoryview, _Array] | None:
        """Return the bytes that an array lies in, and its start there."""
        name, *fields = path.split("/")
        if name not in self._places:
            return None
        if self._latest is None or self._latest[0] != name:
            self._latest = None  # first let go, then read
            self._latest = name, self._contents(self._places[name][0]).data
        view = self._latest[1]
        array = self._start(view)
        for field in fields:
            inner = self._field(view, array, field)
            if inner is None:
                return None
            view, array = inner, self._start(inner)
        return view, array

    def _field(self, view: memoryview, array: _Array, name: str) -> memoryview | None:
        if array.kind != _STRUCT or math.prod(array.shape) != 1:
            return None
        _, length, end = self._element(view, array.begin)
        _, text, end = self._element(view, end)
        width = int.from_bytes(length[:4], "little" if self._order == "<" else "big")
        if not 0 < width <= 64 or len(text) % width or len(text) // width > _MOST:
            raise self._source.bad(f"the fields of {array.name} make no sense: it is damaged")
        for begin in range(0, len(text), width):
            _, data, end = self._element(view, end)
            if _text(text[begin : begin + width]) == name:
                return data
        return None

    # --- tags ---

    def _variables(self) -> Iterator[tuple[_Place, _Array]]:
        place, count = HEADER, 0
        with self._source.path.open("rb") as file:
            while place < self._source.size and count < _MOST:
                file.seek(place)
                tag = file.read(8)
                kind, size = struct.unpack(self._order + "II", tag) if len(tag) == 8 else (0, len(tag))
                if kind not in (_MATRIX, _COMPRESSED) or place + 8 + size > self._source.size:
                    raise self._source.bad(
                        f"the variable at byte {place} claims {size} bytes of type {kind}, which are not "
                        "there: it is damaged or truncated"
                    )
                found = _Place(place + 8, size, kind == _COMPRESSED)
                head = file.read(min(size, _HEAD))
                array = self._start(memoryview(_unpacked_head(head) if found.compressed else head))
                if array.name:
                    yield found, array
                place, count = place + 8 + size, count + 1

    def _start(self, view: memoryview) -> _Array:
        """Read flags, shape and name."""
        _, flags, end = self._element(view, 0)
        if len(flags) == 8 and bytes(flags)[0 if self._order == "<" else 3] == _OPAQUE:
            return _Array(_OPAQUE, 0, (), "", end)
        _, shape, end = self._element(view, end)
        _, name, end = self._element(view, end)
        if len(flags) < 8 or len(shape) % 4 or not 8 <= len(shape) <= 128:
            raise self._source.bad("an array has neither flags nor shape: it is damaged")
        word = struct.unpack(self._order + "I", flags[:4])[0]
        sides = struct.unpack(f"{self._order}{len(shape) // 4}i", shape)
        if min(sides) < 0:
            raise self._source.bad(f"an array has the shape {sides}: it is damaged")
        return _Array(word & 0xFF, word, tuple(sides), _text(name), end)

    def _element(self, view: memoryview, begin: int) -> tuple[int, memoryview, int]:
        """Return the type, the data and the end of the element at a place."""
        if begin + 8 > len(view):
            raise self._source.bad("an element ends before it begins: it is damaged or truncated")
        kind, size = struct.unpack(self._order + "II", view[begin : begin + 8])
        if kind >> 16:  # a small one: type, size and data in these eight bytes
            kind, size = kind & 0xFFFF, kind >> 16
            first, end = begin + 4, begin + 8
        else:
            first = begin + 8
            end = first + size + (-size % 8)
        if first + size > len(view) or size > len(view):
            raise self._source.bad(f"an element claims {size} bytes, which are not there: it is damaged")
        return kind, view[first : first + size], min(end, len(view))

    # --- bytes ---

    def _contents(self, place: _Place) -> np.ndarray:
        """Return a variable's bytes, unpacked, after its tag."""
        with self._source.path.open("rb") as file:
            file.seek(place.begin)
            if not place.compressed:
                return np.fromfile(file, np.uint8, place.size)
            unpacker = zlib.decompressobj()
            remaining = place.size
            tag = bytearray()
            while remaining and len(tag) < 8:
                piece = file.read(min(_HEAD, remaining))
                remaining -= len(piece)
                tag += unpacker.decompress(unpacker.unconsumed_tail + piece, 8 - len(tag))
            contents = np.empty(self._claimed(bytes(tag), place.size), np.uint8)
            filled = 0
            while not unpacker.eof:  # to the end, where the checksum is
                rest = unpacker.unconsumed_tail
                piece = b"" if rest else file.read(min(_PIECE, remaining))
                remaining -= len(piece)
                data = unpacker.decompress(rest or piece, min(len(contents) - filled, _PIECE) + 1)
                if filled + len(data) > len(contents) or not (data or rest or piece):
                    break
                contents[filled : filled + len(data)] = np.frombuffer(data, np.uint8)
                filled += len(data)
            if filled != len(contents) or not unpacker.eof:
                raise self._source.bad("a variable does not unpack to what it claims: it is damaged")
            return contents

    def _claimed(self, tag: bytes, packed: int) -> int:
        """Return the size that an unpacked variable's tag claims, if it may be true."""
        if len(tag) < 8:
            raise self._source.bad("a variable unpacks to nothing: it is damaged or truncated")
        kind, size = struct.unpack(self._order + "II", tag)
        most = max(min(DEFLATE_RATIO * packed, MAX_RATIO * self._source.size), _SMALL)
        if kind != _MATRIX or size > most:
            raise self._source.bad(
                f"a variable claims to unpack from {packed} to {size} bytes of type {kind}, which is not "
                "to be believed"
            )
        return int(size)


def _unpacked_head(data: bytes) -> bytes:
    """Return the first bytes of a compressed variable, after its tag."""
    return zlib.decompressobj().decompress(data, _HEAD)[8:]


def _text(data: memoryview) -> str:
    return bytes(data).split(b"\0", 1)[0].decode("latin-1")
