"""GLB files in the hands of others: the Khronos validator, and three.js in a browser.

Runs where node, Chromium and the packages of ``tests/interop/package.json`` are (``npm install`` there).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import morphkit
from morphkit.archive import load_default_model, save_model
from morphkit.archive.formats import FORMATS
from morphkit.cli import main
from morphkit.fitting import FitResult
from morphkit.io.images import read_image

HERE = Path(__file__).parent / "interop"
PHOTO = Path(morphkit.__file__).parent / "data" / "astronaut.jpg"
CHROMIUM = os.environ.get("MORPHKIT_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
SIZE = 480  # of the page, pixels
FIELD = np.radians(20.0)

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not (HERE / "node_modules" / "gltf-validator").is_dir(),
    reason="needs node, and npm install in tests/interop",
)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[FitResult, Path]:
    """A photo's fit, and its face.glb."""
    folder = tmp_path_factory.mktemp("fit")
    return morphkit.fit(PHOTO, folder), folder / "face.glb"


def _node(*arguments: str | Path) -> Any:
    done = subprocess.run(
        ["node", *map(str, arguments)],  # noqa: S607 - whichever node there is
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _ensure_valid(*files: Path) -> None:
    for report in _node("validate.mjs", *files):
        issues = report["issues"]
        assert (issues["numErrors"], issues["numWarnings"]) == (0, 0), issues["messages"]
        assert report["info"]["totalVertexCount"] > 1000


def test_samples_are_valid(tmp_path: Path) -> None:
    arguments = ["sample", "-o", str(tmp_path), "-n", "2", "--format", "glb", "--expression"]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    _ensure_valid(*sorted(tmp_path.glob("*.glb")))


def test_a_fit_is_valid(fitted: tuple[FitResult, Path]) -> None:
    _ensure_valid(fitted[1])


@pytest.fixture(scope="module")
def model_glb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded head as a model file that is a GLB."""
    path = tmp_path_factory.mktemp("model") / "model.glb"
    if not any(layout.write is not None and ".glb" in layout.suffixes for layout in FORMATS):
        pytest.skip("no layout of models is written as GLB")
    save_model(path, load_default_model().truncate(10, None, 5))
    return path


def test_a_model_is_valid(model_glb: Path) -> None:
    _ensure_valid(model_glb)


browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, or its path in MORPHKIT_CHROMIUM")


@browser
def test_a_fits_mouth_opens_in_three_js(fitted: tuple[FitResult, Path], tmp_path: Path) -> None:
    result, path = fitted
    units = result.model.expression_units
    found = _node("morph.mjs", path, CHROMIUM, tmp_path, "jawOpen", "eyeBlinkLeft")
    assert found["complaints"] == []
    assert set(units.names) <= set(found["targets"])
    rest = read_image(tmp_path / "rest.png").astype(int)
    for name, middle in (("jawOpen", ("62", "66")), ("eyeBlinkLeft", ("43", "47"))):
        moved = result.model.expression.offset(units.combine({name: 1.0}))
        changed = np.abs(read_image(tmp_path / f"{name}.png").astype(int) - rest).max(axis=2) > 8
        points = result.model.landmarks["ibug68"].landmarks(result.neutral, result.model.faces)
        x, y = _pixels(result.neutral, points.select(middle).points).mean(axis=0).astype(int)
        assert changed[y - 2 : y + 3, x - 2 : x + 3].any()
        still = np.linalg.norm(moved, axis=1) < 0.02
        reached = np.concatenate(
            [_pixels(result.neutral, v[~still]) for v in (result.neutral, result.neutral + moved)]
        )
        rows, columns = np.nonzero(changed)
        assert len(rows) > 50
        assert columns.min() >= reached[:, 0].min() - 3
        assert columns.max() <= reached[:, 0].max() + 3
        assert rows.min() >= reached[:, 1].min() - 3
        assert rows.max() <= reached[:, 1].max() + 3


@browser
def test_a_models_morph_targets_move_in_three_js(model_glb: Path, tmp_path: Path) -> None:
    names = load_default_model().expression_units.names
    found = _node("morph.mjs", model_glb, CHROMIUM, tmp_path)
    target = next((name for name in found["targets"] if name.endswith("jawOpen")), None)
    assert target is not None, found["targets"]
    assert len(found["targets"]) >= len(names)
    assert found["complaints"] == []
    _node("morph.mjs", model_glb, CHROMIUM, tmp_path, target)
    rest, moved = (read_image(tmp_path / f"{name}.png").astype(int) for name in ("rest", target))
    rows = np.nonzero((np.abs(moved - rest).max(axis=2) > 8).any(axis=1))[0]
    assert len(rows) > 10
    assert rows.min() > 0.4 * SIZE  # nothing above the nose


def _pixels(rest: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return where the page's camera, which frames the mesh at rest, sees points."""
    low, high = rest.min(axis=0), rest.max(axis=0)
    radius = 0.5 * np.linalg.norm(high - low)
    x, y, z = (points - 0.5 * (low + high)).T
    focal = 0.5 * SIZE / np.tan(0.5 * FIELD)
    away = radius / np.sin(np.pi / 18) - z
    return np.column_stack([0.5 * SIZE + focal * x / away, 0.5 * SIZE - focal * y / away])
