"""What computes, in one hash: results are reused only where it is the same."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

import morphkit

_KINDS = (".py", ".tflite", ".binarypb", ".npz")


@cache
def code_digest(rooms: tuple[str, ...], packages: tuple[str, ...]) -> str:
    """Return a hash of morphkit's own code and networks, and of the versions of what it computes with.

    Parameters
    ----------
    rooms : folders and files of the package, relative to it.
    packages : names of installed distributions.
    """
    root = Path(morphkit.__file__).parent
    places = [root / room for room in rooms]
    files = [path for place in places for path in ([place] if place.is_file() else place.rglob("*"))]
    digest = hashlib.sha256(morphkit.__version__.encode())
    for path in sorted(path for path in files if path.suffix in _KINDS):
        digest.update(f"\0{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes())
    for name in packages:
        digest.update(f"\0{name} {version(name)}".encode())
    return digest.hexdigest()
