"""glTF 2.0 files: the document and its numbers, every offset and length checked against what is there."""

from __future__ import annotations

import base64
import binascii
import mmap
import struct
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from morphkit.archive.layouts._columns import shown
from morphkit.archive.layouts._json import load_json
from morphkit.archive.source import ModelSource

_MAGIC, _JSON, _BINARY = b"glTF", b"JSON", b"BIN\0"
_TYPES = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
_COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_COMPRESSED = ("KHR_draco_mesh_compression", "EXT_meshopt_compression", "KHR_meshopt_compression")
_UNPACKED = 32  # times the file's size, that its sparse numbers may unpack to
_SMALL = 1 << 16


def json_bytes(source: ModelSource) -> bytes:
    """Return the document's bytes without looking further, at most some; empty if it is no glTF file."""
    with source.path.open("rb") as file:
        if source.start[:4] == _MAGIC:
            if len(source.start) < 20 or source.start[16:20] != _JSON:
                return b""
            file.seek(20)
            return file.read(min(struct.unpack("<I", source.start[12:16])[0], source.size))
        return file.read() if source.start.lstrip()[:1] == b"{" else b""


class GltfFile:
    """One file and the buffers it refers to.

    Parameters
    ----------
    source : the file; ``.glb``, or ``.gltf`` with its buffers in the same folder or within itself.

    Raises
    ------
    BadInputError
        If it is damaged, compressed, or refers to files elsewhere.
    """

    def __init__(self, source: ModelSource) -> None:
        self.source = source
        self._own: memoryview | None = None
        text: Any
        if source.start[:4] == _MAGIC:
            text, self._own = self._chunks()
        else:
            text = source.path.read_bytes()
        try:
            self.document = load_json(bytes(text))
        except (ValueError, RecursionError) as error:
            raise source.bad("its JSON is damaged or truncated") from error
        if not isinstance(self.document, dict):
            raise source.bad("its JSON is no glTF document")
        needed = self.document.get("extensionsRequired", [])
        for name in _COMPRESSED:
            if isinstance(needed, list) and name in needed:
                raise source.bad(f"it is compressed ({name}); export it without compression")
        self._buffers: dict[int, memoryview] = {}
        self._lists: dict[str, list[dict[str, Any]]] = {}
        self._budget = _UNPACKED * source.size + _SMALL

    def items(self, name: str) -> list[dict[str, Any]]:
        """Return one of the document's lists; empty where it lacks it."""
        if name not in self._lists:
            self._lists[name] = self.dicts(self.document.get(name, []), name)
        return self._lists[name]

    def item(self, name: str, index: Any) -> dict[str, Any]:
        """Return an item of one of the document's lists."""
        found = self.items(name)
        if type(index) is not int or not 0 <= index < len(found):
            raise self.source.bad(f"it refers to {name}[{shown(str(index))}] of {len(found)}")
        return found[index]

    def dicts(self, value: Any, name: str) -> list[dict[str, Any]]:
        """Return a value that must be a list of objects."""
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.source.bad(f"its {name} are no list of objects: it is damaged")
        return value

    def spend(self, count: int) -> None:
        """Count bytes that are about to be taken; refuses to unpack to far more than the file."""
        self._budget -= count
        if self._budget < 0:
            raise self.source.bad(f"it unpacks to more than {_UNPACKED} times its {self.source.size} bytes")

    def view(self, index: Any) -> memoryview:
        """Return the bytes of a buffer view."""
        item = self.item("bufferViews", index)
        data = self._buffer(item.get("buffer"))
        start, length = self.whole(item, "byteOffset", 0), self.whole(item, "byteLength", None)
        if start + length > len(data):
            raise self.source.bad(f"bufferViews[{index}] ends beyond its buffer: truncated or damaged")
        return data[start : start + length]

    def accessor(self, index: Any, kinds: tuple[str, ...], count: int | None = None) -> np.ndarray:
        """Return the numbers of an accessor, (n, width): integers as they are unless normalized.

        Parameters
        ----------
        index : its number.
        kinds : the types that are allowed, such as "VEC3".
        count : how many there must be, if that is known.
        """
        item = self.item("accessors", index)
        kind, component = item.get("type"), item.get("componentType")
        if kind not in kinds or component not in _COMPONENTS:
            raise self.source.bad(f"accessors[{index}] is {shown(str(kind))}, not {' or '.join(kinds)}")
        number = self.whole(item, "count", None)
        if count is not None and number != count:
            raise self.source.bad(f"accessors[{index}] has {number} elements, not {count}")
        dtype, width = np.dtype(_COMPONENTS[component]), _TYPES[kind]
        if "bufferView" in item:
            values = self._strided(item, number, width, dtype)
        else:
            self.spend(number * width * dtype.itemsize)
            values = np.zeros((number, width), dtype)
        if "sparse" in item:
            self.spend(values.nbytes)
            values = self._with_sparse(item["sparse"], values.copy())
        if item.get("normalized") and dtype.kind in "iu":
            return np.maximum(values / np.float32(np.iinfo(dtype).max), np.float32(-1)).astype(np.float32)
        return values

    def whole(self, item: dict[str, Any], name: str, default: int | None) -> int:
        """Return a whole number from an object; None insists that it is there."""
        value = item.get(name, default)
        if type(value) is not int or not 0 <= value < 1 << 48:
            raise self.source.bad(f"its {name} is {shown(str(value))}, not a whole number: it is damaged")
        return value

    def _strided(self, item: dict[str, Any], count: int, width: int, dtype: np.dtype) -> np.ndarray:
        """Return numbers of a buffer view, without copying them."""
        data = self.view(item["bufferView"])
        start, size = self.whole(item, "byteOffset", 0), width * dtype.itemsize
        stride = self.whole(self.item("bufferViews", item["bufferView"]), "byteStride", size) or size
        if count and (stride < size or start + (count - 1) * stride + size > len(data)):
            raise self.source.bad("an accessor ends beyond its buffer view: truncated or damaged")
        if not count:
            return np.zeros((0, width), dtype)
        return np.ndarray((count, width), dtype, data, start, (stride, dtype.itemsize))

    def _with_sparse(self, sparse: Any, values: np.ndarray) -> np.ndarray:
        (sparse,) = self.dicts([sparse], "sparse")
        indices, places = (self.dicts([sparse.get(n)], "sparse")[0] for n in ("indices", "values"))
        count = self.whole(sparse, "count", None)
        if indices.get("componentType") not in (5121, 5123, 5125):
            raise self.source.bad("a sparse accessor has unreadable indices: it is damaged")
        dtype = np.dtype(_COMPONENTS[indices["componentType"]])
        rows = self._strided(indices, count, 1, dtype)[:, 0]
        if count and int(rows.max()) >= len(values):
            raise self.source.bad("a sparse accessor goes beyond its elements: it is damaged")
        values[rows] = self._strided(places, count, values.shape[1], values.dtype)
        return values

    def _buffer(self, index: Any) -> memoryview:
        item = self.item("buffers", index)
        if index not in self._buffers:
            uri = item.get("uri")
            if uri is None:
                if self._own is None or index != 0:
                    raise self.source.bad(f"buffers[{index}] is nowhere: it is truncated or damaged")
                self._buffers[index] = self._own
            else:
                self._buffers[index] = self._referred(str(uri))
        return self._buffers[index]

    def _referred(self, uri: str) -> memoryview:
        """Return a buffer within the document, or of a file in the same folder."""
        if uri.startswith("data:"):
            try:
                return memoryview(base64.b64decode(uri.partition(",")[2], validate=True))
            except (binascii.Error, ValueError) as error:
                raise self.source.bad("a buffer within it is damaged") from error
        name = unquote(uri)
        if Path(name).name != name or any(mark in name for mark in ("/", "\\", ":", "\0")):
            raise self.source.bad(
                f"it refers to {shown(uri)}; only buffers in the same folder are read: put the file there"
            )
        path = self.source.path.parent / name
        if not path.is_file():
            raise self.source.bad(f"its buffer {shown(name)} is missing; put it into the same folder")
        return _mapped(path)

    def _chunks(self) -> tuple[memoryview, memoryview | None]:
        """Return the JSON and the binary chunk of a GLB file."""
        data = _mapped(self.source.path)
        found: dict[bytes, memoryview] = {}
        at = 12
        if len(data) < 20 or struct.unpack("<I", data[4:8])[0] != 2:
            raise self.source.bad("it is not of version 2 of glTF; export it anew")
        if struct.unpack("<I", data[8:12])[0] > len(data):
            raise self.source.bad("it is truncated; copy or download it again")
        while at + 8 <= len(data):
            length, kind = struct.unpack("<I", data[at : at + 4])[0], bytes(data[at + 4 : at + 8])
            if at + 8 + length > len(data):
                raise self.source.bad("it is truncated; copy or download it again")
            found.setdefault(kind, data[at + 8 : at + 8 + length])
            at += 8 + length
        if _JSON not in found:
            raise self.source.bad("it has no JSON chunk: it is damaged")
        return found[_JSON], found.get(_BINARY)


def _mapped(path: Path) -> memoryview:
    if not path.stat().st_size:
        return memoryview(b"")
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
