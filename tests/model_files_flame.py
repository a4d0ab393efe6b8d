"""Writes what has FLAME's layout, as numbers of one's own, for tests of its reader."""

from __future__ import annotations

import pickle
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from model_files_linear import head

IDENTITY, EXPRESSION = 300, 100


def arrays(rng: np.random.Generator, columns: int = 400, rows: int = 5) -> dict[str, Any]:
    """Return a small model's arrays in metres, named and typed as in FLAME's pickles."""
    vertices, faces = head(rows, 7)
    v = len(vertices)
    return {
        "v_template": vertices / 1000,
        "shapedirs": rng.standard_normal((v, 3, columns)) * 1e-3 / (1 + np.arange(columns)),
        "posedirs": rng.standard_normal((v, 3, 36)) * 1e-4,
        "f": faces.astype(np.uint32),
        "weights": rng.dirichlet(np.ones(5), v),
        "kintree_table": np.array([[4294967295, 0, 1, 1, 1], [0, 1, 2, 3, 4]]),
        "J_regressor": scipy.sparse.csc_matrix(rng.dirichlet(np.ones(v), 5)),
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }


def expected(data: dict[str, Any], identity: np.ndarray, expression: np.ndarray | None = None) -> np.ndarray:
    """Return FLAME's own formula at rest, in millimetres."""
    coefficients = identity if expression is None else np.concatenate([identity, expression])
    return 1000 * (np.asarray(data["v_template"]) + np.asarray(data["shapedirs"]) @ coefficients)


def write_pickle(path: Path, data: dict[str, Any], protocol: int = 2, *, chumpy: bool = False) -> Path:
    """Write a pickle as the authors have: with chumpy objects, if asked to, though chumpy is not there."""
    if chumpy:
        module = types.ModuleType("chumpy.ch")
        ch = type("Ch", (), {"__module__": "chumpy.ch"})
        module.Ch = ch  # type: ignore[attr-defined]
        sys.modules["chumpy"], sys.modules["chumpy.ch"] = types.ModuleType("chumpy"), module
        try:
            wrapped = dict(data)
            for name in ("v_template", "shapedirs", "posedirs"):
                wrapped[name] = ch()
                wrapped[name].__dict__ = {
                    "x": data[name],
                    "_dirty_vars": {"x"},
                    "_kin": frozenset(),
                    "is_valid": True,
                }
            path.write_bytes(pickle.dumps(wrapped, protocol))
        finally:
            del sys.modules["chumpy"], sys.modules["chumpy.ch"]
    else:
        path.write_bytes(pickle.dumps(data, protocol))
    return path


def python2_pickle(data: dict[str, Any]) -> bytes:
    """Return a protocol 2 pickle as Python 2 wrote it: bytes and text are both BINSTRING, Latin 1."""

    def string(value: bytes) -> bytes:
        short = len(value) < 256
        return (b"U" + bytes([len(value)]) if short else b"T" + len(value).to_bytes(4, "little")) + value

    def array(value: np.ndarray) -> bytes:
        shape = b"(" + b"".join(b"J" + int(n).to_bytes(4, "little") for n in value.shape) + b"t"
        kind = value.dtype.str[1:].encode()
        dtype = (
            b"cnumpy\ndtype\n(" + string(kind) + b"K\0K\1tR(K\3U\1<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
        )
        head = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\0tU\1btR"
        return head + b"(K\1" + shape + dtype + b"\x89" + string(value.tobytes()) + b"tb"

    items = [(name, value) for name, value in data.items() if isinstance(value, np.ndarray)]
    body = b"".join(string(name.encode()) + array(value) for name, value in items)
    return b"\x80\x02}q\x00(" + body + b"u."


def write_npz(path: Path, data: dict[str, Any]) -> Path:
    """Write the arrays as an archive."""
    np.savez(path, **{name: value for name, value in data.items() if isinstance(value, np.ndarray)})
    return path
