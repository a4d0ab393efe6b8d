"""JSON of model files, with text that can be printed and written."""

from __future__ import annotations

import json
import re
from typing import Any

_HALF = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")  # half a character: escaped, or as bytes


def load_json(data: bytes) -> Any:
    """Return what JSON text in UTF-8 says; halves of characters, which cannot be encoded again, become "?".

    Raises
    ------
    ValueError, RecursionError
        As `json.loads` does.
    """
    content = json.loads(data)
    if not _HALF.search(data):
        return content
    return json.loads(json.dumps(content, ensure_ascii=False).encode("utf-8", "replace"))
