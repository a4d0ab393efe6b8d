"""Words from files, paths and errors, made fit to be shown.

Labels, titles and notifications of the page are text: `one_line` is enough there. Its Markdown may hold
HTML, scripts too, which the page does not take out: what goes into it from elsewhere is made `plain`.
"""

from __future__ import annotations

import re
import unicodedata

_SYNTAX = re.compile(r"""[!"#$&'()*+<=>@\[\\\]^_`{|}~-]|\.(?=\s|$)""")
_LINK = re.compile(r"(?<=://)|(?<=www)(?=\.)", re.IGNORECASE)  # where an address would become a link
_JOINER = "&#8288;"  # nothing to see; written like this, it also ends an address for the page
_TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}  # what follows would run backwards
_UNKNOWN = "\ufffd"


def one_line(text: object) -> str:
    """Return a text as one line, without what cannot be shown or sent, such as control characters."""
    return "".join(_UNKNOWN if _unfit(letter) else letter for letter in " ".join(str(text).split()))


def plain(text: object) -> str:
    """Return Markdown that shows a text as it is: as one line without any markup, HTML or link."""
    escaped = _SYNTAX.sub(lambda found: f"&#{ord(found[0])};", one_line(text))
    return _LINK.sub(_JOINER, escaped)


def _unfit(letter: str) -> bool:
    return unicodedata.category(letter) in ("Cc", "Cs") or unicodedata.bidirectional(letter) in _TURNING
