"""Files as such: what identifies one, and in which order people expect many."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from morphkit.errors import BadInputError


def file_hash(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal.

    Raises
    ------
    BadInputError
        If the file is missing or cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise BadInputError(f"There is no file {path}; check the path.") from error
    except OSError as error:
        raise BadInputError(f"{path} cannot be read: {error.strerror}.") from error


def natural_order(name: str) -> list[tuple[int, int, str]]:
    """Return a key that orders digits by value, scan_2 before scan_10.

    The name itself breaks ties such as a1 and a01.
    """
    pieces = re.split(r"(\d+)", name.lower())
    keys = [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces if piece]
    return [*keys, (2, 0, name)]
