"""Reading pickles of arrays without unpickling them.

Python's own unpickler runs whatever a pickle names. Here a pickle is followed by a small machine of our own
(`morphkit.archive.layouts._pickle_machine`), which never imports or calls anything; `array` then makes
arrays from the recorded dtype, shape and bytes, checked against each other.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from morphkit.archive.layouts._columns import shown
from morphkit.archive.layouts._pickle_machine import CHUMPY, Machine, Name, Recorded, text
from morphkit.archive.source import ModelSource

_DTYPE = re.compile(r"[?biufc][0-9]{1,2}|[?]")


def read_pickle(source: ModelSource, data: Any) -> Any:
    """Return what a pickle holds: containers, numbers, text (bytes as views), `Recorded` for all else.

    Parameters
    ----------
    source : the file, for messages.
    data : its bytes, or a memory map of them.

    Raises
    ------
    BadInputError
        If it names anything but arrays, or is damaged.
    """
    return Machine(source, memoryview(data)).run()


def array(source: ModelSource, value: Any, what: str) -> np.ndarray:
    """Return a recorded numpy array (a chumpy array's numbers) as a read-only array over the file's bytes.

    Raises
    ------
    BadInputError
        If it is no array of plain numbers, or its bytes do not fit its shape.
    """
    for _ in range(8):  # chumpy arrays wrap arrays
        if isinstance(value, Recorded) and CHUMPY.fullmatch(_class_of(value).module):
            state = value.state
            if not isinstance(state, dict) or "x" not in state:
                raise source.bad(
                    f"{what} is an unevaluated expression ({_class_of(value)}); "
                    "load it with chumpy once and save its numbers as a plain array"
                )
            value = state["x"]
    if not isinstance(value, Recorded):
        raise source.bad(f"{what} is no array")
    dtype, shape, fortran, data = _array_parts(source, value, what)
    count = int(np.prod(shape, dtype=object))
    if len(data) != count * dtype.itemsize:
        raise source.bad(f"{what} claims the shape {shape} of {dtype}, but has {len(data)} bytes")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _class_of(value: Recorded) -> Name:
    """Return the class of an object, also where Python 2 made it through copy_reg."""
    if value.called.name == "_reconstructor" and value.arguments and isinstance(value.arguments[0], Name):
        return value.arguments[0]
    return value.called


def _array_parts(
    source: ModelSource, value: Recorded, what: str
) -> tuple[np.dtype, tuple[int, ...], bool, memoryview]:
    if value.called.name == "_reconstruct" and isinstance(value.state, tuple) and len(value.state) >= 4:
        shape, dtype, fortran, data = value.state[-4:]
    elif value.called.name == "_frombuffer" and len(value.arguments) == 4:
        data, dtype, shape, order = value.arguments
        fortran = text(order) == "F"
    else:
        raise source.bad(f"{what} is no array but a {value.called}")
    if not isinstance(shape, tuple) or not all(type(n) is int and 0 <= n < 1 << 40 for n in shape):
        raise source.bad(f"{what} has an unreadable shape: it is damaged")
    return _dtype(source, dtype, what), shape, bool(fortran), _bytes(source, data, what)


def _dtype(source: ModelSource, value: Any, what: str) -> np.dtype:
    code = text(value.arguments[0]) if isinstance(value, Recorded) and value.arguments else None
    if code is None or value.called.name != "dtype" or not _DTYPE.fullmatch(code):
        raise source.bad(f"{what} holds {shown(code or 'objects')}, not plain numbers")
    state = value.state if isinstance(value.state, tuple) else ()
    order = text(state[1]) if len(state) > 1 else "|"
    try:
        return np.dtype(code).newbyteorder(">" if order == ">" else "<")
    except TypeError as error:
        raise source.bad(f"{what} holds {code}, not plain numbers") from error


def _bytes(source: ModelSource, value: Any, what: str) -> memoryview:
    """Return the bytes of an array, also where protocols below 3 wrote them as text."""
    if isinstance(value, Recorded) and value.called.name == "encode" and value.arguments:
        value = value.arguments[0]
    if isinstance(value, Recorded) and value.called.name in ("bytes", "bytearray"):
        value = value.arguments[0] if value.arguments else b""
        return _bytes(source, value, what)
    if isinstance(value, str):
        try:
            return memoryview(value.encode("latin-1"))
        except UnicodeEncodeError as error:
            raise source.bad(f"{what} is damaged") from error
    if not isinstance(value, memoryview | bytes):
        raise source.bad(f"{what} holds objects, not plain numbers")
    return memoryview(value)
