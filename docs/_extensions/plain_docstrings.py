"""morphkit's docstrings, which are written for people, as numpydoc and reStructuredText want them.

They say ``name : what it is`` where numpydoc expects a type, and use * | _ as the letters that they are.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

_SECTIONS = ("Parameters", "Attributes", "Returns", "Yields")
_QUOTED = re.compile(r"(``.+?``|`[^`]+`)")
_SPECIAL = re.compile(r"([*|\\])|(?<=\w)(_)(?!\w)")


def _split_names(lines: list[str]) -> list[str]:
    """Move what follows ``name : `` to a line of its own."""
    result, listing = [], False
    for i, line in enumerate(lines):
        underlined = i + 1 < len(lines) and set(lines[i + 1]) == {"-"}
        if underlined:
            listing = line in _SECTIONS
        name, colon, rest = line.partition(" : ")
        if listing and colon and not line.startswith(" "):
            result += [name, f"    {rest}"]
        else:
            result.append(line)
    return result


def _escaped(line: str) -> str:
    """Return a line whose * | _ outside of quotes are letters."""
    parts = _QUOTED.split(line)
    for i in range(0, len(parts), 2):
        parts[i] = _SPECIAL.sub(lambda found: f"\\{found.group()}", parts[i])
    return "".join(parts)


def process(_app: Sphinx, what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    """Rewrite a docstring before numpydoc reads it."""
    if what == "module":
        lines.clear()  # the page itself says more
    lines[:] = [_escaped(line) for line in _split_names(lines)]


def readable(
    _app: Sphinx,
    _what: str,
    _name: str,
    _obj: Any,
    _options: Any,
    signature: str | None,
    returned: str | None,
) -> tuple[str, str | None] | None:
    """Write defaults that are no Python, such as <factory>, as an ellipsis: the rest then parses."""
    return None if signature is None else (re.sub(r"<[^<>]+>", "...", signature), returned)


def find_public(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.Node | None:
    """Link a name of any module to the room that makes it public: annotations name the module it lives in."""
    if node.get("refdomain") != "py":
        return None
    domain = env.domains["py"]
    last = node["reftarget"].rpartition(".")[2]
    found = [name for name in domain.objects if name.rpartition(".")[2] == last and name[0] != "_"]
    if not found or not (node["reftarget"].startswith("morphkit") or "." not in node["reftarget"]):
        return None
    place = domain.objects[min(found, key=len)]
    uri = app.builder.get_relative_uri(node["refdoc"], place.docname)
    return nodes.reference("", "", content, internal=True, refuri=f"{uri}#{place.node_id}")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect both."""
    app.connect("autodoc-process-docstring", process, priority=400)
    app.connect("autodoc-process-signature", readable)
    app.connect("missing-reference", find_public)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
