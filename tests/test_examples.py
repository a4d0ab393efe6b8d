"""Examples are short, name what exists, and the quickest runs from anywhere; the gallery runs them all."""

from __future__ import annotations

import ast
import runpy
from importlib import import_module
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


def code_lines(source: str) -> int:
    """Return how many lines hold code: no comments, no text at the top, no blank lines."""
    body = ast.parse(source).body[1:]
    first = body[0].lineno
    lines = source.splitlines()[first - 1 :]
    return sum(1 for line in lines if line.strip() and not line.lstrip().startswith("#"))


def test_there_are_the_five_and_the_head():
    assert [path.stem for path in EXAMPLES] == [
        "build_a_basis",
        "complete_a_partial_scan",
        "fit_a_photo",
        "fit_several_photos",
        "render_a_head",
        "train_on_renders",
    ]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short_and_names_what_exists(path):
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    assert code_lines(source) <= 40
    title, line = (ast.get_docstring(tree) or "").splitlines()[:2]
    assert line == "=" * len(title)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("morphkit"):
            module = import_module(node.module)
            assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "morphkit"
        ):
            assert hasattr(import_module("morphkit"), node.attr), node.attr


def test_the_head_is_rendered_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(next(path for path in EXAMPLES if path.stem == "render_a_head")), run_name="__main__")
    plt.close("all")
    assert (tmp_path / "heads.png").stat().st_size > 50_000
