"""What the pages show runs: Python blocks page by page, `morphkit` lines through the command's own parser."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import numpy as np
import pytest
from building_scans import run

import morphkit
from morphkit.building.synthetic import ScannerSettings, scan_head
from morphkit.cli import main
from morphkit.io.landmarks import write_landmarks

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EVERYWHERE = [*PAGES, *sorted((ROOT / "docs" / "design").glob("*.md"))]
BLOCK = re.compile(r"^(?P<indent> *)```(?P<language>[^\n`]*)\n(?P<code>.*?)^ *```$", re.M | re.S)
NOT_RUN = re.compile(r"<!-- not run: .+? -->\s*\Z")
CHEAP = re.compile(
    r"doctor|get$|(info|convert) model\.h5|sample model\.h5|train(-cnet)? --example|landmarks photo\.jpg"
)


def blocks(page: Path, languages: tuple[str, ...]) -> Iterator[tuple[str, int, bool]]:
    """Yield each block's code, its line, and whether the page says that it is not run."""
    text = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        if found["language"] in languages:
            indent = len(found["indent"])
            code = "\n".join(line[indent:] for line in found["code"].splitlines())
            line = text[: found.start()].count("\n") + 2
            yield code, line, NOT_RUN.search(text[: found.start()]) is not None


def shell_lines() -> list[tuple[str, str]]:
    """Return (page:line, arguments) of every `morphkit ...` line in every page."""
    lines = []
    for page in EVERYWHERE:
        for code, first, _ in blocks(page, ("", "sh", "bash", "console")):
            for i, line in enumerate(code.splitlines()):
                for part in re.split(r"&&|;", line.partition(" #")[0]):
                    words = part.partition(">")[0].strip().removeprefix("$ ")
                    if words.startswith("morphkit "):
                        lines.append((f"{page.name}:{first + i}", words.removeprefix("morphkit ")))
    return lines


SHELL = shell_lines()


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photo.jpg, three small scans with landmarks, and work/ as registering them leaves it."""
    folder = tmp_path_factory.mktemp("pages")
    shutil.copy(ROOT / "morphkit" / "data" / "astronaut.jpg", folder / "photo.jpg")
    head = morphkit.load_default_model()
    for i, name in enumerate(("ann", "ben", "cem")):
        rng = np.random.default_rng(i)
        person = head.mesh(rng.standard_normal(10))
        scan = scan_head(person, head.face_middle, rng, ScannerSettings(faces=(9_000, 10_000)))
        points = head.landmarks["ibug68"].landmarks(scan.pose.apply(person.vertices), head.faces)
        morphkit.write_mesh(folder / "scans" / f"{name}.ply", scan.mesh)
        write_landmarks(folder / "scans" / f"{name}.landmarks.json", points)
    morphkit.build_basis(folder / "scans", folder / "model.h5", work_dir=folder / "work", jobs=1)
    return folder


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(blocks(page, ("python",)))], ids=lambda p: p.name
)
def test_a_pages_python_runs_from_top_to_bottom(page, material, tmp_path, monkeypatch):
    shutil.copytree(material, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    names: dict[str, object] = {}
    for code, line, left_out in blocks(page, ("python",)):
        if not left_out:
            exec(compile("\n" * (line - 1) + code, str(page), "exec"), names)  # noqa: S102 - the page's own


def test_only_what_cannot_run_here_is_left_out():
    left_out = [page.name for page in EVERYWHERE for _, _, left in blocks(page, ("python",)) if left]
    assert left_out == ["evaluating-fits.md", "view.md"]  # need a true face, and a browser


def test_pages_show_code_at_all():
    assert sum(1 for page in PAGES for _ in blocks(page, ("python",))) >= 15
    assert len(SHELL) >= 50


@pytest.mark.parametrize(("place", "line"), SHELL, ids=[f"{place} {line}" for place, line in SHELL])
def test_a_shell_line_parses(place, line):
    words = shlex.split(line)
    if words[0].startswith("-"):
        words = words[1:]  # of the group: --debug
    assert words[0] in main.commands, f"{place}: no such command"
    parent = click.Context(main, info_name="morphkit")
    with suppress(click.exceptions.Exit):  # --help, --example
        main.commands[words[0]].make_context(words[0], words[1:], parent)


def test_the_cheap_ones_run(material, tmp_path, monkeypatch):
    shutil.copytree(material, tmp_path / "here", ignore=shutil.ignore_patterns("work"))
    monkeypatch.chdir(tmp_path / "here")
    shutil.copy("scans/ann.ply", "scan.ply")
    lines = sorted({line for _, line in SHELL if CHEAP.match(line)})
    assert len(lines) >= 8
    for line in lines:
        result = run(*shlex.split(line))
        assert result.exit_code == 0, f"morphkit {line}: {result.output}"


def test_commands_named_in_the_text_exist():
    for page in [*EVERYWHERE, ROOT / "CHANGELOG.md"]:
        text = BLOCK.sub("", page.read_text(encoding="utf-8"))
        for name in re.findall(r"`morphkit ([a-z][a-z-]*)", text):
            assert name in main.commands, f"{page.name} names morphkit {name}"
