"""The pages tell the truth: quoted sentences are in the code, links lead somewhere, curves have tables."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

import morphkit
from morphkit.archive.formats import FORMATS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md")), *sorted((DOCS / "design").glob("*.md"))]
FENCED = re.compile(r"^ *```.*?^ *```$", re.M | re.S)


def said_in_code() -> str:
    """Return all text constants of the package, one a line."""
    said = []
    for file in (ROOT / "morphkit").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                said.append(node.value)
    return "\n".join(said)


def anchor(heading: str) -> str:
    """Return what a heading's link looks like."""
    plain = re.sub(r"[`*]", "", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def test_sentences_that_troubleshooting_quotes_are_in_the_code():
    page = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    quoted = re.findall(r'^"(.+)"$', page, re.M)
    assert len(quoted) >= 20
    said = re.sub(r"\{[^{}\n]*\}", "…", said_in_code())  # numbers and names
    assert [sentence for sentence in quoted if sentence not in said] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_pages_and_headings_that_are_there(page):
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)", text):
        if target.startswith(("http", "mailto:")):
            continue
        place, _, heading = target.partition("#")
        path = (page.parent / place).resolve() if place else page
        if DOCS / "gallery" in path.parents:  # made at build, a page for each example
            assert path.stem == "index" or (ROOT / "examples" / f"{path.stem}.py").exists(), target
            continue
        assert path.exists(), f"{page.name}: {target}"
        if heading:
            headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.M)
            assert heading in {anchor(one) for one in headings}, f"{page.name}: {target}"


def test_every_room_with_public_names_has_a_page_of_the_api():
    listed = " ".join(file.read_text(encoding="utf-8") for file in (DOCS / "api").glob("*.md"))
    for package in sorted((ROOT / "morphkit").glob("*/__init__.py")):
        module = import_module(f"morphkit.{package.parent.name}")
        if getattr(module, "__all__", ()) and package.parent.name not in {
            "jobs",
            "cli",
        }:  # the latter: cli.md
            assert re.search(rf"automodule:: {module.__name__}\b", listed), module.__name__
    assert "automodule:: morphkit\n" in listed
    assert morphkit.__all__


def test_every_layout_of_model_files_is_compared():
    page = (DOCS / "formats.md").read_text(encoding="utf-8")
    assert "{morphkit-model-formats}" in page
    suffixes = {suffix for layout in FORMATS for suffix in layout.suffixes if layout.write}
    compared = page.partition("## How the layouts differ")[2].partition("## Each layout")[0]
    assert {suffix for suffix in suffixes if suffix not in compared} <= {".hdf5"}


def test_curves_show_the_numbers_of_their_tables():
    tree = ast.parse((DOCS / "_extensions" / "figures.py").read_text(encoding="utf-8"))
    lists = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.List)
        and node.targets[0].id != "pictures"
        if all(isinstance(part, ast.Constant) for part in node.value.elts)
        if isinstance(node.targets[0], ast.Name) and node.value.elts
    }
    robust = (DOCS / "robustness.md").read_text(encoding="utf-8")
    for place, degrees in enumerate((75, 60, 45, 30, 15)):
        median = f"{lists['median'][place]:.2f} · {lists['median'][-1 - place]:.2f}"
        turned = f"{lists['turned'][place]} · {lists['turned'][-1 - place]}°"
        row = next(line for line in robust.splitlines() if f"| −{degrees}° · {degrees}°" in line)
        assert median in row
        assert turned in row
    photos = (DOCS / "design" / "015-several-photos.md").read_text(encoding="utf-8")
    assert "| as now, a process on the surface | 0.73 | 0.65 | 0.60 | 0.59 |" in photos
