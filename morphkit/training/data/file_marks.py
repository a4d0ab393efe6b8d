"""Which files a dataset was made of, told without reading them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path


def files_digest(named: Iterable[tuple[str, Sequence[Path]]]) -> str:
    """Return a hash of which files there are by name; of their content, size and date stand for it.

    Parameters
    ----------
    named : names, each with its files; those that aren't there are left out.
    """
    digest = hashlib.sha256()
    for name, files in named:
        marks = [(path.stat().st_size, path.stat().st_mtime_ns) for path in files if path.is_file()]
        digest.update(json.dumps([name, marks]).encode())
    return digest.hexdigest()
