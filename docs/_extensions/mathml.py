"""Formulas as MathML, made at build: no script and no network for whoever reads the page."""

from __future__ import annotations

import html
import re
import unicodedata

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx

# browsers draw letters of a style by their own code points alone
_STYLED = re.compile(r'<mi mathvariant="(bold|bold-italic|double-struck)">(.)</mi>')


def _formula(node: nodes.Element, display: str) -> str:
    """Return a formula as MathML."""
    return _STYLED.sub(_letter, convert(node.astext(), display=display))


def _letter(found: re.Match[str]) -> str:
    """Return a letter in bold or as a set's name."""
    style, letter = found.groups()
    if style == "double-struck":
        return f"<mi>{unicodedata.lookup(f'DOUBLE-STRUCK CAPITAL {letter}')}</mi>"
    name = unicodedata.name(letter).replace("LATIN ", "").replace("GREEK ", "").replace(" LETTER", "")
    return f"<mi>{unicodedata.lookup(f'MATHEMATICAL BOLD {name}')}</mi>"


def _inline(translator: nodes.NodeVisitor, node: nodes.math) -> None:
    translator.body.append(_formula(node, "inline"))
    raise nodes.SkipNode


def _block(translator: nodes.NodeVisitor, node: nodes.math_block) -> None:
    label = f' id="{html.escape(node["ids"][0])}"' if node.get("ids") else ""
    number = f'<span class="eqno">({node["number"]})</span>' if node.get("number") else ""
    translator.body.append(f'<div class="formula"{label}>{_formula(node, "block")}{number}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Make this the renderer of formulas."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
